// Which model answers now, and which ones labelled the chips that came before; tells `chips` when it changes.

import { describe, Refused } from "./service.js";

const same = (one, other) => one.name === other.name && one.version === other.version;
const names = ({ labels }) => labels.map(({ name }) => name).join();

export class Models {
  #known = []; // the service's descriptions: { model, rule, labels } each
  #chips;

  constructor(chips) {
    this.#chips = chips;
  }

  /** Take the description of the model that answers now. */
  serve(description) {
    const known = this.#keep(description);
    if (known !== this.#chips.serving) this.#chips.serve(known);
  }

  /** Return the description of a model that answered; another than the last has the page ask which one answers now. */
  async of(model, how) {
    if (!same(model, this.#chips.serving.model)) this.serve(await describe("labels", how));
    return this.#find(model) ?? this.#keep(await describe(`labels?version=${encodeURIComponent(model.version)}`, how));
  }

  /** Hear by the way which version answers now. */
  async heard(version) {
    if (version === this.#chips.serving.model.version) return;
    try {
      this.serve(await describe("labels"));
    } catch {
      // The next answer says what is wrong.
    }
  }

  #find = (model) => this.#known.find((known) => same(known.model, model));

  /** All models on the page must know the same labels, in the same order. */
  #keep(description) {
    const { model } = description;
    const known = this.#find(model);
    if (known) return known;
    if (this.#known.length && names(description) !== names(this.#known[0])) {
      const detail = `It runs ${model.name} ${model.version}, of other labels: save what you need and load this page again.`;
      throw new Refused({ title: "The service has another model now", detail });
    }
    this.#known.push(description);
    return description;
  }
}
