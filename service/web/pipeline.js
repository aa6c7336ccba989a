// What happens to every chip: its prediction, and a picture for it once it is to be seen, several at a time.

import { showable } from "./intake.js";
import { predict, preview, Refused } from "./service.js";

const PREDICTIONS = 4; // at a time; a browser has six connections to a host
const PICTURES = 2;

export class Pipeline {
  #chips;
  #controller = new AbortController();
  #pictures;
  #predictions;
  #seen = new WeakSet();

  /** `onAnswer(model)` hears which model answered, `onBusy(problem)` why chips wait. */
  constructor(chips, { onAnswer, onBusy }) {
    this.#chips = chips;
    this.onAnswer = onAnswer;
    this.onBusy = onBusy;
    this.#begin();
  }

  take(chips) {
    for (const chip of chips) this.#predictions(chip);
  }

  /** Get a chip's picture, if it was not asked for before. */
  see(chip) {
    if (this.#seen.has(chip)) return;
    this.#seen.add(chip);
    this.#pictures(chip);
  }

  /** Forget everything that has not ended. */
  stop() {
    this.#controller.abort();
    this.#begin();
  }

  #begin() {
    const { signal } = (this.#controller = new AbortController());
    this.#pictures = queue(PICTURES, signal, (chip) => this.#picture(chip, signal));
    this.#predictions = queue(PREDICTIONS, signal, (chip) => this.#predict(chip, signal));
  }

  async #picture(chip, signal) {
    try {
      const shown = (await showable(chip.file)) ? chip.file : await preview(chip.file, signal);
      if (!signal.aborted) this.#chips.change(chip, { picture: URL.createObjectURL(shown) });
    } catch {
      // The prediction of the same bytes says what is wrong with them.
    }
  }

  async #predict(chip, signal) {
    this.#chips.change(chip, { state: "running", problem: null });
    try {
      const { model, predictions } = await predict(chip.file, { signal, onBusy: this.onBusy });
      if (signal.aborted) return;
      this.onAnswer(model);
      this.#chips.change(chip, { state: "done", prediction: predictions[0] });
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Refused ? error.problem : { title: "Not readable", detail: String(error) };
      this.#chips.change(chip, { state: "failed", problem });
    }
  }
}

/** Return a function that has `work` done on what it is given, in order, `width` at a time. */
function queue(width, signal, work) {
  const waiting = [];
  let running = 0;
  const next = async () => {
    while (waiting.length && !signal.aborted) await work(waiting.shift());
    running--;
  };
  return (item) => {
    waiting.push(item);
    if (running < width) {
      running++;
      next();
    }
  };
}
