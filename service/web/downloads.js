// What a person takes home: the answers as CSV, JSON or GeoJSON, and the corrections as a tags CSV.

import { h } from "./dom.js";
import { layer } from "./service.js";

const KINDS = {
  csv: ["text/csv", asCsv],
  json: ["application/json", asJson],
  geojson: ["application/geo+json", asGeoJson],
};

/** Save the chips that have an answer, in the given order, each with the model that gave it. */
export function saveAnswers(kind, chips, labels) {
  const [type, write] = KINDS[kind];
  const answered = chips.filter((chip) => chip.prediction || chip.problem);
  save(`chipvote.${kind}`, type, write(answered, labels));
}

/** Save chips and windows that have a place as GeoPackages that the service writes, one of each model's answers. */
export async function saveLayer(things) {
  const answered = things.filter(({ by, prediction, problem }) => by && (prediction || problem));
  for (const [{ model }, group] of Map.groupBy(answered, ({ by }) => by)) {
    const named = new Set(group.map(fileOf));
    const name = named.size === 1 ? bare([...named][0]).replace(/\.[^.]*$/, "") : "chipvote";
    save(`${name}.gpkg`, "application/geopackage+sqlite3", await layer({ model, rows: group.map(layerRow) }));
  }
}

const fileOf = (thing) => thing.scene?.name ?? thing.name;

function layerRow(thing) {
  const { footprint, scores, members, nodata_share } = thing.prediction ?? thing;
  const lean = scores?.map((score) => ({ ...score, evidence: undefined }));
  return { filename: fileOf(thing), footprint, window: thing.window, scores: lean, members, nodata_share, error: thing.problem };
}

/** The reviewed chips' labels as a tags file for training, which looks for chips by their bare names. */
export function tagsFile(chips) {
  const rows = chips.filter((chip) => chip.truth).map((chip) => [bare(chip.name), trueLabels(chip).join(" ")]);
  return csv([["image_name", "tags"], ...rows]);
}

export const saveTags = (text) => save("labels.csv", "text/csv", text);

/** The names that two reviewed chips share: a tags file can mean only one of them. */
export function sharedNames(chips) {
  const names = chips.filter((chip) => chip.truth).map((chip) => bare(chip.name));
  return [...new Set(names.filter((name, index) => names.indexOf(name) < index))];
}

const bare = (name) => name.slice(name.lastIndexOf("/") + 1);

/** What a person says is there, in the model's order. */
const trueLabels = (chip) => chip.prediction.scores.map((score) => score.label).filter((label) => chip.truth.has(label));

const modelOf = ({ by }) => (by ? `${by.model.name} ${by.model.version}` : "");

function asCsv(chips, labels) {
  const rows = chips.map((chip) => [
    chip.name,
    chip.prediction?.labels.join(" ") ?? "",
    chip.problem ? `${chip.problem.title}: ${chip.problem.detail}` : "",
    modelOf(chip),
    ...labels.map((_, index) => chip.prediction?.scores[index].probability ?? ""),
  ]);
  return csv([["image_name", "tags", "error", "model", ...labels.map((label) => label.name)], ...rows]);
}

/** `model` above all of them is the one that gave all of them, if one did. */
function asJson(chips) {
  const models = new Set(chips.filter(({ by }) => by).map(({ by }) => by.model));
  const predictions = chips.map((chip) => ({
    ...(chip.prediction ?? { error: chip.problem }),
    filename: chip.name, // the service saw it as a form spells it
    ...(chip.by && { model: chip.by.model }),
    ...(chip.truth && { reviewed_labels: trueLabels(chip) }),
  }));
  return JSON.stringify({ model: models.size === 1 ? [...models][0] : null, predictions }, null, 1);
}

function asGeoJson(chips) {
  const features = chips.map((chip) => ({
    type: "Feature",
    geometry: chip.prediction?.footprint ?? chip.footprint ?? null,
    properties: {
      image_name: fileOf(chip),
      ...(chip.window && { window: chip.window }),
      labels: chip.prediction?.labels ?? null,
      probabilities: chip.prediction && Object.fromEntries(chip.prediction.scores.map((s) => [s.label, s.probability])),
      error: chip.problem?.detail ?? null,
      model: modelOf(chip) || null,
    },
  }));
  return JSON.stringify({ type: "FeatureCollection", features }, null, 1);
}

const csv = (rows) => rows.map((row) => row.map(cell).join(",") + "\r\n").join("");

/** Text that a spreadsheet would run as a formula gets an apostrophe before it, which training takes away. */
const guarded = (value) =>
  typeof value === "string" && /^(?![+-]?[\d.]+(e[+-]?\d+)?$)'*[=+\-@\t\r]/i.test(value) ? `'${value}` : String(value);

const cell = (value) => quoted(guarded(value));
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function save(name, type, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
