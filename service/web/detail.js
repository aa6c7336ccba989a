// One chip at full length: its picture, its label set, each label's probability, votes and evidence,
// and a person's corrections.

import { corrections } from "./chips.js";
import { h, oncePerFrame, plural, spoken } from "./dom.js";
import { draw, erase } from "./evidence.js";
import { side } from "./mercator.js";

export class Detail {
  #shown = {}; // the chip, and what came of it, that is on the page
  #rows = [];
  #order = []; // of the chips before a review took this one out of the view
  #pinned = null; // the label whose evidence stays, from chip to chip

  /** `parts` are the panel's elements; `see(chip)` asks for its picture, `retry(chip)` for its prediction. */
  constructor(parts, chips, { see, retry }) {
    Object.assign(this, { parts, chips, retry });
    const update = oncePerFrame(() => this.#update());
    chips.addEventListener("selected", ({ detail: chip }) => {
      if (chip) see(chip);
      update();
    });
    chips.addEventListener("serving", update);
    chips.addEventListener("changed", ({ detail }) => detail === chips.selected && update());
    parts.rightAndNext.addEventListener("click", () => this.#confirm());
    parts.undo.addEventListener("click", () => {
      chips.change(chips.selected, { truth: null });
      parts.rightAndNext.focus(); // this button goes
    });
    const frame = parts.picture.parentElement;
    parts.picture.addEventListener("load", ({ currentTarget: { naturalWidth, naturalHeight } }) =>
      frame.style.setProperty("--ratio", naturalWidth / naturalHeight),
    );
    // What the browser cannot show, although its first bytes promised it.
    parts.picture.addEventListener("error", () => parts.picture.removeAttribute("src"));
  }

  #update() {
    const chip = this.chips.selected;
    this.parts.panel.hidden = !chip;
    if (!chip) return;
    const { panel, name, version, warnings, picture, place, groups } = this.parts;
    panel.dataset.state = chip.state;
    panel.dataset.kind = chip.scene ? "window" : "chip";
    panel.dataset.rule = (chip.by ?? this.chips.serving)?.rule ?? "";
    const earlier = this.chips.earlier(chip);
    version.hidden = !earlier;
    if (earlier) version.textContent = `Labelled by version ${earlier}; version ${this.chips.serving.model.version} answers now`;
    name.textContent = chip.name;
    picture.alt = `The chip ${chip.name}`;
    const { prediction, problem } = chip;
    if (this.#shown.chip !== chip || this.#shown.picture !== chip.picture) {
      if (chip.picture) picture.src = chip.picture;
      else picture.removeAttribute("src");
    }
    if (this.#shown.chip !== chip || this.#shown.problem !== problem) this.#tell(chip);
    const same = this.#shown.chip === chip && this.#shown.prediction === prediction;
    this.#shown = { chip, prediction, problem, picture: chip.picture };
    if (!same) {
      place.textContent = [nothing(chip), whereabouts(prediction?.footprint)].filter(Boolean).join(". ");
      warnings.hidden = !prediction?.warnings?.length;
      warnings.replaceChildren(...(prediction?.warnings ?? []).map((textContent) => h("li", { textContent })));
      this.#rows = [];
      groups.replaceChildren(...this.#groups(chip));
      this.#show(null);
    }
    this.#review(chip);
  }

  /** Say in words what is wrong with a chip, if anything is. */
  #tell(chip) {
    const { problem: place, name } = this.parts;
    place.hidden = !chip.problem;
    if (!chip.problem) return;
    const retry = () => {
      this.retry(chip);
      name.focus(); // this button goes
    };
    place.replaceChildren(
      h("strong", { textContent: chip.problem.title }),
      h("p", { textContent: chip.problem.detail }),
      chip.file ? h("button", { type: "button", textContent: "Try again", on: { click: retry } }) : "",
    );
  }

  #groups({ prediction, by }) {
    if (!prediction) return [];
    const { labels } = by;
    const rows = prediction.scores.map((score, index) => [labels[index].group, this.#row(score, labels[index])]);
    return Object.entries(Object.groupBy(rows, ([group]) => group)).map(([group, members]) =>
      h(
        "section",
        {},
        h("h3", { textContent: group }),
        h("ul", { className: "rows" }, ...members.map(([, row]) => row)),
      ),
    );
  }

  #row(score, label) {
    const { name, weights, quorum } = label;
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const votes = quorum === null ? "" : `${score.votes}/${total}`;
    const needs = quorum === null ? "" : `, ${score.votes} of ${total} votes, needs ${quorum}`;
    const words = `(${score.predicted ? "set" : "not set"}, probability ${score.probability.toFixed(2)}${needs})`;
    const button = h(
      "button",
      { type: "button", className: "label", aria: { pressed: "false" } },
      spoken(name),
      h("span", { className: "unseen", textContent: words }),
    );
    const checkbox = h("input", { type: "checkbox", aria: { label: `${spoken(name)} is on the chip` } });
    const row = h(
      "li",
      { className: score.predicted ? "row set" : "row" },
      button,
      track(score, label),
      h("span", { className: "number", aria: { hidden: "true" }, textContent: score.probability.toFixed(2) }),
      h("span", { className: "votes", aria: { hidden: "true" }, title: needs.slice(2), textContent: votes }),
      h("label", { className: "truth", title: "Is it on the chip?" }, checkbox),
    );
    button.addEventListener("focus", () => this.#show(score));
    button.addEventListener("blur", () => this.#show(null));
    row.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.#show(score));
    row.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#show(null));
    button.addEventListener("click", () => {
      this.#pinned = this.#pinned === score.label ? null : score.label;
      this.#show(score);
    });
    checkbox.addEventListener("change", () => this.#correct(score.label, checkbox.checked));
    this.#rows.push({ score, row, button, checkbox });
    return row;
  }

  /** Show a label's evidence, or else that of the pinned label. */
  #show(score) {
    const { canvas, caption } = this.parts;
    for (const { score: own, button } of this.#rows) button.ariaPressed = own.label === this.#pinned;
    const shown = score ?? this.#rows.find((row) => row.score.label === this.#pinned)?.score;
    for (const { score: own, row } of this.#rows) row.classList.toggle("shown", own === shown);
    if (shown?.evidence) {
      draw(canvas, shown.evidence);
      caption.textContent = `Evidence for ${spoken(shown.label)}`;
    } else {
      erase(canvas);
      caption.textContent = shown
        ? `${spoken(shown.label)} is not set: no evidence to show`
        : "Point at a label, or press it, to see where its evidence lies";
    }
    canvas.parentElement.classList.toggle("lit", Boolean(shown?.evidence));
  }

  #review(chip) {
    const { tags, rightAndNext, undo, verdict } = this.parts;
    const changed = new Set(corrections(chip));
    tags.replaceChildren(...tagsOf(chip, changed));
    const truth = chip.truth ?? new Set(chip.prediction?.labels);
    for (const { score, row, checkbox } of this.#rows) {
      checkbox.checked = truth.has(score.label);
      row.classList.toggle("wrong", changed.has(score.label));
    }
    rightAndNext.ariaDisabled = !chip.prediction; // and not `disabled`, which would take the keyboard away from it
    rightAndNext.textContent = changed.size ? "Done, next chip" : "All right, next chip";
    undo.hidden = !chip.truth;
    verdict.textContent = !chip.truth
      ? "Not reviewed"
      : changed.size
        ? `Reviewed: ${plural(changed.size, "label")} corrected`
        : "Reviewed: all right";
  }

  #correct(label, there) {
    const chip = this.chips.selected;
    const truth = new Set(chip.truth ?? chip.prediction.labels);
    if (there) truth.add(label);
    else truth.delete(label);
    this.#remember();
    this.chips.change(chip, { truth });
  }

  #remember() {
    const shown = this.chips.shown();
    if (shown.includes(this.chips.selected)) this.#order = shown;
  }

  #confirm() {
    const chip = this.chips.selected;
    if (!chip.prediction) return;
    this.#remember();
    const later = this.#order.slice(this.#order.indexOf(chip) + 1);
    this.chips.change(chip, { truth: chip.truth ?? new Set(chip.prediction.labels) });
    const next = later.find((other) => other.prediction);
    if (next) this.chips.select(next);
  }
}

/** A bar for the probability; in it a lane per member, with its own probability and threshold. */
function track(score, { thresholds, weights, quorum }) {
  const voting = quorum !== null;
  const percent = (share) => `${(100 * share).toFixed(2)}%`;
  const mark = (className, at, lane) =>
    h("i", { className, style: { left: percent(at), ...lane } });
  const lanes = score.members.flatMap((probability, member) => {
    if (weights.length && !weights[member]) return []; // it has no say
    const lane = { top: percent(member / score.members.length), height: percent(1 / score.members.length) };
    const inFavour = voting ? probability >= thresholds[member] : score.predicted;
    const dot = mark(inFavour ? "dot for" : "dot", probability, lane);
    return voting ? [mark("tick", thresholds[member], lane), dot] : [dot];
  });
  const shared = voting ? [] : thresholds.map((threshold) => mark("tick", threshold, { top: 0, height: "100%" }));
  const fill = h("i", { className: "fill", style: { width: percent(score.probability) } });
  const style = { "--members": score.members.length };
  return h("div", { className: "track", style, aria: { hidden: "true" } }, fill, ...shared, ...lanes);
}

/** The label set, with what a person took out of it and put in. */
function tagsOf(chip, changed) {
  const note = (textContent) => [h("li", { className: "none", textContent })];
  if (!chip.prediction) return chip.problem ? [] : note(chip.skipped ? "No data" : "Waiting for the service…");
  const { labels } = chip.prediction;
  const added = [...changed].filter((label) => !labels.includes(label));
  if (!labels.length && !added.length) return note("No label");
  return [
    ...labels.map((label) => h("li", {}, changed.has(label) ? h("del", { textContent: spoken(label) }) : spoken(label))),
    ...added.map((label) => h("li", {}, h("ins", { textContent: spoken(label) }))),
  ];
}

/** How much of a chip, or of a window, is nodata, if any is. */
function nothing({ prediction, scene }) {
  const share = prediction?.nodata_share;
  if (!share) return "";
  return `${share < 0.01 ? "Less than 1" : Math.round(100 * share)} % of this ${scene ? "window" : "chip"} shows nothing`;
}

function whereabouts(footprint) {
  if (!footprint) return "";
  const across = footprint.type === "MultiPolygon"; // the antimeridian: east of it, count on
  const points = footprint.coordinates.flat(across ? 2 : 1);
  const middle = (numbers) => (Math.min(...numbers) + Math.max(...numbers)) / 2;
  const turned = middle(points.map(([x]) => (across && x < 0 ? x + 360 : x)));
  const longitude = turned > 180 ? turned - 360 : turned;
  const latitude = middle(points.map(([, y]) => y));
  return `Centre at ${side(latitude, "NS")}, ${side(longitude, "EW")}`;
}
