// The model card: what the model is, how well it does on each label, on which data, and where it is weak.

import { h, plural, spoken } from "./dom.js";

const WEAKEST = 4;
// These and the vote among RULES are the sentences of docs/glossary.md.
const FITTING = {
  "cross-fitted": "Cross-fitted: no network and no threshold saw the chip that is scored.",
  "held-out": "Held-out: measured on chips that were kept away from both training and tuning.",
  "in-sample": "In-sample: measured on the very chips that the rule was tuned on, so other chips will score lower.",
};
const RULES = {
  vote: "A label is set when the members that reach their own thresholds together weigh at least the label's quorum. Training sets the quorum to more than half of all members' weight.",
  blend: "A label is set by a weighted sum of all members' probabilities of all labels.",
  "expected-f": "Probabilities are calibrated, and the label set of highest expected F2 is taken.",
};

const PROBABILITIES = {
  vote: "Probabilities are a mean over the members, not calibrated: 0.8 does not mean that four in five such chips have the label.",
  blend: "Probabilities are clipped scores, not calibrated: 0.8 does not mean that four in five such chips have the label.",
  "expected-f": "Probabilities were calibrated on the training chips' ground; elsewhere they may be off.",
};

/** Fill a section with the card. */
export function fill(section, card) {
  section.replaceChildren(
    h("h2", { textContent: `${card.name} ${card.version}` }),
    h("p", { textContent: card.description }),
    tiles(card.scores),
    h("p", { className: "soft", textContent: `${FITTING[card.scores.fitting]} ${plural(card.scores.chips, "chip")}. ${intervalNote(card.scores)}` }),
    part("Where it is weak", weaknesses(card)),
    part("Labels", labelTable(card)),
    part("Members", memberTable(card), h("p", { textContent: RULES[card.decision.rule] })),
    part("Data and terms", ...terms(card)),
  );
}

const part = (title, ...content) => h("section", {}, h("h3", { textContent: title }), ...content);
const score = (value) => (value === null ? "–" : value.toFixed(3));
const range = (interval) => (interval ? `${interval[0].toFixed(3)} to ${interval[1].toFixed(3)}` : "");
const intervalNote = (scores) => (scores.sample_f2_interval ? "Ranges are 95 % bootstrap intervals over chips." : "");

function tiles(scores) {
  const shown = { "sample F2": "sample_f2", "macro F2": "macro_f2", "mean average precision": "mean_average_precision" };
  const tile = (title, value, bounds) =>
    h("div", {}, h("dt", { textContent: title }), h("dd", {}, h("b", { textContent: score(value) }), h("span", { className: "soft", textContent: range(bounds) })));
  const groups = Object.entries(scores.group_f2);
  return h(
    "dl",
    { className: "tiles" },
    ...Object.entries(shown).map(([title, key]) => tile(title, scores[key], scores[`${key}_interval`])),
    ...(groups.length > 1 ? groups.map(([group, value]) => tile(`mean F2, ${group} labels`, value, scores.group_f2_intervals?.[group])) : []),
  );
}

/** What a user should not rely on, read off the scores. */
function weaknesses({ scores, labels, decision, input, provenance }) {
  const measured = scores.labels.filter(({ positives }) => positives > 0);
  const found = new Set(measured.map(({ label }) => label));
  const weakest = measured.toSorted((a, b) => a.f2 - b.f2).slice(0, WEAKEST);
  const share = (part) => `${Math.round(100 * part)} %`;
  const lines = weakest.map(({ label, f2, precision, recall }) => {
    const wrong = `${share(1 - precision)} of the chips that get it do not have it`;
    const missed = `${share(1 - recall)} of those that have it are missed`;
    return h("li", {}, h("b", { textContent: spoken(label) }), ` F2 ${score(f2)}: ${wrong}, ${missed}.`);
  });
  const unmeasured = labels.map(({ name }) => name).filter((name) => !found.has(name)).map(spoken);
  if (unmeasured.length) lines.push(h("li", { textContent: `Never measured, for want of chips that have it: ${unmeasured.join(", ")}.` }));
  const few = measured.filter(({ positives }) => positives < 30).map(({ label, positives }) => `${spoken(label)} (${positives})`);
  if (few.length) lines.push(h("li", { textContent: `Measured on fewer than 30 chips: ${few.join(", ")}.` }));
  lines.push(
    h("li", { textContent: `It knows the ground, the resolution and the sensor of ${provenance.dataset}, ${input.width}×${input.height} px of ${input.bands.join(", ")}${input.sensor ? ` (${input.sensor}, ${input.dtype})` : ""}. On other chips, score a labelled sample first.` }),
    h("li", { textContent: "It always answers: a chip that shows something else gets the labels that look nearest, or none." }),
    h("li", { textContent: PROBABILITIES[decision.rule] }),
  );
  return h("ul", { className: "weak" }, ...lines);
}

function labelTable({ labels, scores, decision }) {
  const of = new Map(scores.labels.map((row) => [row.label, row]));
  const lowest = Math.min(...scores.labels.filter(({ positives }) => positives).map((row) => row.f2_interval?.[0] ?? row.f2));
  const from = Math.min(0.9, Math.floor(10 * lowest) / 10);
  const rows = labels.map(({ name, group, prevalence }, index) => {
    const row = of.get(name);
    const known = row && row.positives > 0;
    const cells = known ? [row.precision, row.recall].map(score) : ["–", "–"];
    return h(
      "tr",
      {},
      h("th", { scope: "row", textContent: spoken(name) }),
      h("td", { className: "text", textContent: group }),
      ...[row?.positives ?? 0, `${(100 * prevalence).toFixed(1)} %`, ...cells].map((textContent) => h("td", { textContent })),
      h("td", {}, h("div", { className: "f2" }, known ? bar(row.f2, row.f2_interval, from) : null, known ? score(row.f2) : "–")),
      h("td", { className: "soft", textContent: known ? range(row.f2_interval) : "" }),
      h("td", { textContent: known ? score(row.average_precision) : "–" }),
      h("td", { className: "soft", textContent: thresholdsOf(decision, index).map((t) => t.toFixed(2)).join(" ") || "–" }),
    );
  });
  const head = ["label", "group", "chips", "prevalence", "precision", "recall", "F2", "95 % interval", "average precision", "thresholds"];
  return table(head, rows, `How well each label is found. The bars show F2 on a scale from ${from.toFixed(1)} to 1.`);
}

/** Of a vote each member's, of a blend the score's, of expected F none. */
const thresholdsOf = ({ rule, thresholds }, label) =>
  ({ vote: () => thresholds.map((member) => member[label]), blend: () => [thresholds[label]], "expected-f": () => [] })[rule]();

function bar(value, interval, from) {
  const percent = (share) => `${((100 * share) / (1 - from)).toFixed(1)}%`;
  const whisker = interval && h("i", { className: "whisker", style: { left: percent(interval[0] - from), width: percent(interval[1] - interval[0]) } });
  return h("div", { className: "track", aria: { hidden: "true" } }, h("i", { className: "fill", style: { width: percent(value - from) } }), whisker ?? null);
}

function memberTable({ members, precision, device }) {
  const rows = members.map(({ name, architecture, graphs }) => {
    const { file, check } = graphs[precision];
    return h(
      "tr",
      {},
      h("th", { scope: "row", textContent: name }),
      h("td", { className: "text", textContent: architecture }),
      h("td", { className: "text", textContent: `${precision} on ${device}` }),
      h("td", { textContent: `${(file.size_bytes / 1e6).toFixed(1)} MB` }),
      h("td", { textContent: check.max_probability_difference.toFixed(3) }),
      h("td", { textContent: `${check.sample_f2_change >= 0 ? "+" : "−"}${Math.abs(check.sample_f2_change).toFixed(4)}` }),
    );
  });
  const head = ["member", "architecture", "runs as", "size", "largest difference to PyTorch", "change of F2"];
  return table(head, rows, "The networks, and how far their graphs are from PyTorch");
}

function table(head, rows, caption) {
  const texts = [...(rows[0]?.children ?? [])].map((cell) => cell.matches("th, .text"));
  const titles = head.map((textContent, i) => h("th", { scope: "col", className: texts[i] ? "text" : "", textContent }));
  const content = h("table", {}, h("caption", { textContent: caption }), h("thead", {}, h("tr", {}, ...titles)), h("tbody", {}, ...rows));
  return h("div", { className: "wide", tabIndex: 0, role: "region", ariaLabel: caption }, content);
}

function terms({ provenance }) {
  const { dataset, chips, dataset_sha256, licence, sources, versions } = provenance;
  return [
    h("p", {}, `Trained on ${dataset}, ${plural(chips, "chip")}. Licence of the model: ${licence}.`),
    h("ul", {}, ...sources.map((textContent) => h("li", { textContent }))),
    h("p", { className: "soft digest", textContent: `Data sha256 ${dataset_sha256}. Made with ${Object.entries(versions).map((pair) => pair.join(" ")).join(", ")}.` }),
  ];
}
