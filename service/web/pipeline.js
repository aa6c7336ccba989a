// What happens to every chip: its prediction, and a picture for it once it is to be seen, several at a time.

import { showable } from "./intake.js";
import { mayPass, predict, preview, Refused } from "./service.js";

const PREDICTIONS = 4; // at a time; a browser has six connections to a host
const PICTURES = 2;

export class Pipeline {
  #chips;
  #controller;
  #pictures;
  #predictions;
  #asked = new WeakSet(); // for a prediction that has not come
  #seen = new WeakSet();
  #missed = new Set(); // to be seen, but the service could not be reached for a picture

  /** `onAnswer(model, how)` promises the description of the model that answered, `onBusy(problem)` why chips wait, `onFree()` that they do not. */
  constructor(chips, { onAnswer, onBusy, onFree }) {
    Object.assign(this, { onAnswer, onBusy, onFree });
    this.#chips = chips;
    this.#begin();
  }

  /** Have chips predicted that wait for it, or that failed. */
  take(chips) {
    for (const chip of chips) {
      if (this.#asked.has(chip)) continue;
      this.#asked.add(chip);
      if (chip.state === "failed") this.#chips.change(chip, { state: "waiting", problem: null });
      this.#predictions(chip);
    }
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
    this.#missed.clear();
    const { signal } = (this.#controller = new AbortController());
    this.#pictures = queue(PICTURES, signal, (chip, since) => this.#picture(chip, this.#how(signal, since)));
    this.#predictions = queue(PREDICTIONS, signal, (chip, since) => this.#predict(chip, this.#how(signal, since)));
  }

  #how = (signal, since) => ({ signal, since, onBusy: this.onBusy, onFree: this.onFree });

  async #picture(chip, how) {
    const { signal } = how;
    try {
      const shown = (await showable(chip.file)) ? chip.file : await preview(chip.file, how);
      if (signal.aborted) return;
      this.#chips.change(chip, { picture: URL.createObjectURL(shown) });
      if (shown !== chip.file) this.#reached();
    } catch (error) {
      // What is wrong with its bytes, the prediction of the same bytes says.
      if (!signal.aborted && mayPass(error)) this.#missed.add(chip);
    }
  }

  async #predict(chip, how) {
    const { signal } = how;
    this.#chips.change(chip, { state: "running" });
    try {
      const { model, predictions } = await predict(chip.file, how);
      if (signal.aborted) return;
      this.#reached();
      const by = await this.onAnswer(model, how);
      if (signal.aborted) return;
      this.#chips.change(chip, { state: "done", prediction: predictions[0], by });
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Refused ? error.problem : { title: "This page is broken", detail: String(error) };
      this.#chips.change(chip, { state: "failed", problem });
    } finally {
      this.#asked.delete(chip);
    }
  }

  /** The service answers: what was missed may come now. */
  #reached() {
    this.onFree();
    for (const chip of this.#missed) {
      this.#seen.delete(chip);
      this.see(chip);
    }
    this.#missed.clear();
  }
}

/** Return a function that has `work` done on what it is given, with the time at which it was, in order, `width` at a time. */
function queue(width, signal, work) {
  const waiting = [];
  let running = 0;
  const next = async () => {
    while (waiting.length && !signal.aborted) await work(...waiting.shift());
    running--;
  };
  return (item) => {
    waiting.push([item, performance.now()]);
    if (running < width) {
      running++;
      next();
    }
  };
}
