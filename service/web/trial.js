// How a bundle differs that is tried unseen: a panel, for as long as the trial lasts.

import { $, h, spoken } from "./dom.js";
import { trial } from "./service.js";

const POLL_MS = 5000;
const LONGEST_WAIT_MS = 60_000; // where the service does not answer, or this key has asked often enough

export class Trial {
  #shown = null; // what the service said of it
  #timer = 0;
  #turn = 0;
  #wait_ms = POLL_MS;

  /** `panel` shows it; `onServing(version)` hears which version answers. */
  constructor(panel, onServing) {
    Object.assign(this, { panel, onServing });
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#timer);
      if (this.#shown && !document.hidden) this.look();
    });
  }

  /** Ask whether a bundle is tried; as long as one is, and somebody looks, ask again. */
  async look() {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    let found = this.#shown;
    try {
      const told = await trial();
      if (told) this.onServing(told.serving);
      found = told?.candidate ? told : null;
      this.#wait_ms = POLL_MS;
    } catch {
      this.#wait_ms = Math.min(2 * this.#wait_ms, LONGEST_WAIT_MS); // no trouble of a chip, so none to tell
    }
    if (turn !== this.#turn) return;
    this.#show(found);
    if (found && !document.hidden) this.#timer = setTimeout(() => this.look(), this.#wait_ms);
  }

  #show(found) {
    this.#shown = found;
    const { panel } = this;
    if (!found && panel.contains(document.activeElement)) $("#files").focus(); // what has the keyboard goes
    panel.hidden = !found;
    if (!found) return;
    const { candidate, serving, share, chips, different, failed, skipped, labels } = found;
    const part = (name) => panel.querySelector(`[data-trial=${name}]`);
    const percent = Number((100 * share).toPrecision(2));
    const counts = { "chips compared": chips, "label sets differ": different, failed, skipped };
    part("candidate").textContent = `Version ${candidate} is tried unseen`;
    part("share").textContent = `on ${percent} % of the chips; version ${serving} answers`;
    part("counts").replaceChildren(...Object.entries(counts).map(count));
    part("labels").hidden = !labels.length;
    part("labels").querySelector("tbody").replaceChildren(...labels.toSorted((a, b) => changes(b) - changes(a)).map(row));
  }
}

const number = new Intl.NumberFormat("en").format;
const changes = ({ added, removed }) => added + removed;
const count = ([name, value]) => h("div", {}, h("dt", { textContent: name }), h("dd", { textContent: number(value) }));

function row({ label, added, removed }) {
  const cells = [added, removed].map((value) => h("td", { textContent: number(value) }));
  return h("tr", {}, h("th", { scope: "row", textContent: spoken(label) }), ...cells);
}
