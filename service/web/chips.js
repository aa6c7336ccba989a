// The chips on the page and what is known of each; tells whoever listens what changed.
//
// Events: "added" (detail: chips), "changed" (a chip), "selected" (a chip or null), "arranged" (what is
// shown, or its order), "cleared". Knows no elements.

export const AT_MOST = 5000; // more belongs to the Python client

let nextId = 0;

export class Chips extends EventTarget {
  all = [];
  selected = null;
  view = { label: "", show: "all", sort: "added" };

  add(files) {
    const added = files.slice(0, AT_MOST - this.all.length).map((file) => ({
      id: nextId++,
      file,
      name: file.name,
      state: "waiting", // then "running", and "done" or "failed"
      picture: null, // an address that an image can show
      prediction: null,
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

  arrange(changes) {
    Object.assign(this.view, changes);
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
    const { label, show, sort } = this.view;
    const chips = this.all.filter((chip) => belongs(chip, show, label));
    if (sort === "added") return chips;
    const key = {
      likely: (chip) => -(probability(chip, label) ?? -1),
      unlikely: (chip) => probability(chip, label) ?? 2,
      disagreement: (chip) => -(disagreement(chip, label) ?? -1),
    }[sort];
    const keys = new Map(chips.map((chip) => [chip, key(chip)]));
    return chips.sort((a, b) => keys.get(a) - keys.get(b));
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

const scoresOf = (chip, label) =>
  (chip.prediction?.scores ?? []).filter((score) => !label || score.label === label);

const largest = (numbers) => (numbers.length ? Math.max(...numbers) : null);

/** The probability of a label; without one, of the likeliest. */
export const probability = (chip, label) => largest(scoresOf(chip, label).map((score) => score.probability));

/** How far apart the members are on a label, highest minus lowest; without one, on the most disputed. */
export const disagreement = (chip, label) =>
  largest(scoresOf(chip, label).map(({ members }) => Math.max(...members) - Math.min(...members)));

/** The labels of a chip that a person changed. */
export function corrections(chip) {
  if (!chip.truth) return [];
  const predicted = new Set(chip.prediction.labels);
  return [...predicted.symmetricDifference(chip.truth)];
}
