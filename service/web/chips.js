// The chips on the page and what is known of each; tells whoever listens what changed.
//
// Events: "added" (detail: chips), "changed" (a chip), "selected" (a chip or null), "arranged" (what is
// shown, or its order), "cleared", "serving" (the description of the model that answers from now on). Knows no
// elements.

export const AT_MOST = 5000; // more belongs to the Python client

let nextId = 0;

export class Chips extends EventTarget {
  all = [];
  selected = null;
  view = { label: "", show: "all", sort: "added", within: null }; // `within(chip)`: whether it lies in the map's area
  serving = null; // as the service describes the model that answers now: { model, rule, labels }

  /** Add files, as { file, name }; returns the chips, fewer if the page is full. */
  add(files) {
    const added = files.slice(0, AT_MOST - this.all.length).map(({ file, name }) => ({
      id: nextId++,
      file,
      name,
      state: "waiting", // then "running", and "done" or "failed"
      picture: null, // an address that an image can show
      prediction: null,
      by: null, // the description of the model that labelled it
      problem: null,
      truth: null, // the labels that a person says are there; null: not looked at
    }));
    this.all.push(...added);
    this.#tell("added", added);
    return added;
  }

  change(chip, changes) {
    Object.assign(chip, changes);
    this.#tell("changed", chip);
  }

  select(chip) {
    if (chip === this.selected) return;
    this.selected = chip;
    this.#tell("selected", chip);
  }

  serve(description) {
    this.serving = description;
    this.#tell("serving", description);
  }

  /** The version that labelled a chip, where another one answers by now; else "". */
  earlier(chip) {
    return chip.by && chip.by !== this.serving ? chip.by.model.version : "";
  }

  arrange(view) {
    this.view = view;
    this.#tell("arranged");
  }

  clear() {
    for (const chip of this.all) if (chip.picture) URL.revokeObjectURL(chip.picture);
    this.select(null);
    this.all = [];
    this.#tell("cleared");
  }

  /** The chips of the current view, in its order. */
  shown() {
    const { label, show, sort, within } = this.view;
    const chips = this.all.filter((chip) => belongs(chip, show, label) && (!within || within(chip)));
    if (sort === "added") return chips;
    const key = {
      likely: (chip) => -(this.probability(chip, label) ?? -1),
      unlikely: (chip) => this.probability(chip, label) ?? 2,
      disagreement: (chip) => -(this.disagreement(chip, label) ?? -1),
    }[sort];
    const keys = new Map(chips.map((chip) => [chip, key(chip)]));
    return chips.sort((a, b) => keys.get(a) - keys.get(b));
  }

  /** The probability of a label; without one, of the likeliest. Null where there is no prediction. */
  probability(chip, label) {
    return this.#largest(chip, label, (score) => score.probability);
  }

  /** How far apart the members with a say are on a label; without one, on the most disputed. */
  disagreement(chip, label) {
    return this.#largest(chip, label, (score, { weights }) => {
      const say = score.members.filter((_, member) => weights[member] !== 0);
      return Math.max(...say) - Math.min(...say);
    });
  }

  #largest(chip, label, measure) {
    if (!chip.prediction) return null;
    let largest = -Infinity;
    for (const [index, score] of chip.prediction.scores.entries()) {
      if (!label || score.label === label) largest = Math.max(largest, measure(score, chip.by.labels[index]));
    }
    return largest;
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

function belongs(chip, show, label) {
  switch (show) {
    case "set":
      return Boolean(chip.prediction?.labels.includes(label));
    case "unset":
      return Boolean(chip.prediction && !chip.prediction.labels.includes(label));
    case "failed":
      return chip.state === "failed";
    case "reviewed":
      return chip.truth !== null;
    case "unreviewed":
      return chip.truth === null && chip.state === "done";
    default:
      return true;
  }
}

/** The labels of a chip that a person changed. */
export function corrections(chip) {
  if (!chip.truth) return [];
  const predicted = new Set(chip.prediction.labels);
  return [...predicted.symmetricDifference(chip.truth)];
}
