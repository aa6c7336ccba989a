// Puts the page together: files come in, answers go to the gallery and the detail, and out as files.

import { Atlas } from "./atlas.js";
import { fill } from "./card.js";
import { AT_MOST, Chips } from "./chips.js";
import { Detail } from "./detail.js";
import { $, h, oncePerFrame, plural, spoken } from "./dom.js";
import { saveAnswers, saveTags, sharedNames, tagsFile } from "./downloads.js";
import { Gallery } from "./gallery.js";
import { listen, taken } from "./intake.js";
import { Models } from "./models.js";
import { Pipeline } from "./pipeline.js";
import { tellScenes } from "./roll.js";
import { part, Scenes } from "./scenes.js";
import { describe, whoAsks } from "./service.js";
import { Trial } from "./trial.js";

const POLL_MS = 2000; // for a service that is starting
const wide = matchMedia("(min-width: 62rem)");

const chips = new Chips();
const models = new Models(chips);
const trial = new Trial($("#trial"), (version) => models.heard(version));
$("#trial details").open = wide.matches;
let saved = tagsFile([]); // the corrections as they were last taken home
let busy = null; // why chips wait, while they do
let filled = null; // the section of the model card, once asked for
let labelling = false; // chips that are there

const following = { onAnswer: (model, how) => models.of(model, how), onBusy: wait, onFree: free };
const pipeline = new Pipeline(chips, following);
const scenes = new Scenes(following);
const see = (chip) => chip.file && pipeline.see(chip);
const gallery = new Gallery({ list: $("#list"), count: $("#count") }, chips, { open, see });
let typed = null; // the key that a person is being asked for
const parts = {
  panel: $("#detail"), name: $("#name"), version: $("#version"), warnings: $("#warnings"), picture: $("#picture"), canvas: $("#evidence"), caption: $("#caption"),
  place: $("#place"), tags: $("#tags"), problem: $("#problem"), groups: $("#groups"),
  rightAndNext: $("#right"), undo: $("#undo"), verdict: $("#verdict"),
};
new Detail(parts, chips, { see, retry: (chip) => pipeline.take([chip]) });
whoAsks(askKey);
const atlas = new Atlas(chips, scenes, { say });
tellScenes($("#scenes"), $("#spoken-scenes"), scenes, atlas.look);
let card = told("model");
const described = describeLabels();
describeFiles();
listen($("#drop"), [$("#files"), $("#folder"), $("#map-files")], take, say);
tabs();
follow();

async function take(files) {
  if (!files.length) return;
  say(null);
  const found = await part(files, async () => (await card).input);
  if (found.scenes.length) showTab("map");
  else if ($("#map").hidden) showTab("chips");
  const added = chips.add(found.chips);
  if (added.length < found.chips.length) {
    say({ title: `This page holds ${AT_MOST} chips`, detail: "The rest was left out; `chipvote predict --url` takes any number." });
  }
  await described;
  scenes.take(found.scenes);
  const there = new Set(chips.all); // they may have been cleared meanwhile
  pipeline.take(added.filter((chip) => there.has(chip)));
}

async function describeLabels() {
  const description = await told("labels");
  for (const select of ["#label", "#map-label"]) {
    $(select).append(...description.labels.map(({ name }) => h("option", { value: name, textContent: spoken(name) })));
  }
  models.serve(description);
  chips.addEventListener("serving", renewCard);
  trial.look();
}

function nameModel({ detail: { model } }) {
  $("#model").textContent = `${model.name} ${model.version}`;
}

function renewCard() {
  card = told("model");
  filled = null;
  if (!$("#card").hidden) fillCard();
}

async function describeFiles() {
  const { words, accept } = taken((await card).input);
  $("#takes").textContent = ` ${words}, one or many.`;
  $("#files").accept = accept;
}

/** Ask for one of the service's descriptions until it is ready to tell. */
async function told(path) {
  for (let problem = null; ; ) {
    try {
      const description = await describe(path);
      unsay(problem);
      return description;
    } catch (error) {
      const { title, detail } = error.problem ?? { title: "This page is broken", detail: String(error) };
      problem = { title, detail: `${detail} This page asks again.` };
      if ($("#alert").hidden) say(problem); // what stands there may matter more
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/** Show the field for a key until one is there; who asks meanwhile gets the same. */
function askKey(problem) {
  say(problem);
  $("#ask-key").hidden = false;
  typed ??= new Promise((resolve) => {
    $("#ask-key").onsubmit = (event) => {
      event.preventDefault();
      resolve($("#key").value.trim());
      $("#ask-key").reset();
      $("#ask-key").hidden = true;
      typed = null;
      say(null);
    };
  });
  return typed;
}

function follow() {
  const refresh = oncePerFrame(showProgress);
  chips.addEventListener("serving", nameModel);
  for (const kind of ["added", "changed", "cleared", "arranged"]) chips.addEventListener(kind, refresh);
  chips.addEventListener("changed", ({ detail: chip }) => {
    if (!chips.selected && !$("#chips").hidden && chip.state === "done" && wide.matches) chips.select(chips.all.find(({ state }) => state !== "failed"));
  });
  chips.addEventListener("added", () => {
    if (chips.all.length === 1) chips.select(chips.all[0]);
  });
  for (const control of ["label", "show", "sort"]) $(`#${control}`).addEventListener("change", () => arrange(control));
  $("#show-all").addEventListener("click", () => {
    $("#label").value = "";
    $("#show").value = "all";
    atlas.all();
    arrange("label");
    gallery.focus();
  });
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => saveAnswers(button.dataset.save, chips.shown(), chips.serving?.labels ?? []));
  }
  $("#correct").addEventListener("click", ({ currentTarget }) => {
    const on = currentTarget.ariaPressed !== "true";
    currentTarget.ariaPressed = on;
    document.body.classList.toggle("correcting", on);
  });
  $("#save-tags").addEventListener("click", () => {
    saved = tagsFile(chips.all);
    saveTags(saved);
    const shared = sharedNames(chips.all);
    if (shared.length) say({ title: "Two chips share a name", detail: `${shared.join(", ")}: keep one row of each in the tags file.` });
  });
  $("#retry").addEventListener("click", () => {
    pipeline.take(chips.all.filter((chip) => chip.state === "failed"));
    (gallery.list.checkVisibility() ? gallery : parts.name).focus(); // this button goes
  });
  $("#clear").addEventListener("click", () => {
    if (unsaved() && !confirm("The corrections are not saved. Clear all the same?")) return;
    pipeline.stop();
    chips.clear();
    [$("#label").value, $("#show").value, $("#sort").value] = ["", "all", "added"];
    arrange("label");
    busy = null;
    say(null);
    $("#files").focus();
  });
  $("#area button").addEventListener("click", () => {
    atlas.all();
    $("[role=tab][aria-selected=true]").focus(); // this button goes
  });
  $("#back").addEventListener("click", () => {
    document.body.classList.remove("open");
    gallery.focus();
  });
  addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
}

const unsaved = () => chips.all.some((chip) => chip.truth) && tagsFile(chips.all) !== saved;

/** On a narrow screen the detail takes the gallery's place. */
function open() {
  document.body.classList.add("open");
  if (wide.matches) return;
  scrollTo({ top: 0 });
  if (chips.all.length > 1) $("#back").focus();
}

function arrange(changed) {
  const [label, show, sort] = ["label", "show", "sort"].map((id) => $(`#${id}`));
  const ofLabel = ({ value }) => value === "set" || value === "unset";
  for (const option of show.options) option.disabled = ofLabel(option) && !label.value;
  if (changed === "label" && label.value && show.value === "all") show.value = "set";
  if (!label.value && ofLabel(show)) show.value = "all";
  chips.arrange({ ...chips.view, label: label.value, show: show.value, sort: sort.value });
}

function showProgress() {
  const count = chips.all.length;
  document.body.dataset.count = count > 1 ? "many" : count ? "one" : "none";
  if (!count) document.body.classList.remove("open");
  $("#toolbar").hidden = !count;
  const failed = chips.all.filter((chip) => chip.state === "failed").length;
  const ended = failed + chips.all.filter((chip) => chip.state === "done").length;
  const reviewed = chips.all.filter((chip) => chip.truth).length;
  Object.assign($("#progress"), { max: count, value: ended, hidden: ended === count });
  const failures = failed ? `, ${failed} failed` : "";
  $("#status").textContent = ended === count ? `${plural(count - failed, "chip")} labelled${failures}` : `${ended} of ${plural(count, "chip")}${failures}`;
  if (ended === count) $("#spoken-status").textContent = $("#status").textContent;
  if (labelling && ended === count) trial.look();
  labelling = ended < count;
  $("#retry").hidden = !failed || ended < count;
  $("#save-tags").textContent = reviewed ? `Save tags CSV (${reviewed})` : "Save tags CSV";
  $("#save-tags").disabled = !reviewed;
}

function wait({ title, detail }) {
  busy = { title, detail: `${detail} Chips wait, and are sent again.` };
  say(busy);
}

function free() {
  unsay(busy);
  busy = null;
}

const words = ({ title, detail }) => `${title} ${detail}`;

/** Tell a problem in words, or take the last one back. */
function say(problem) {
  const alert = $("#alert");
  if (problem && !alert.hidden && alert.textContent === words(problem)) return; // or it would be read out again
  alert.hidden = !problem;
  alert.replaceChildren(...(problem ? [h("strong", { textContent: problem.title }), ` ${problem.detail}`] : []));
}

/** Take a problem back, if it is the one that stands there. */
function unsay(problem) {
  if (problem && $("#alert").textContent === words(problem)) say(null);
}

function tabs() {
  const buttons = [...document.querySelectorAll("[role=tab]")];
  for (const [index, button] of buttons.entries()) {
    button.addEventListener("click", () => showTab(button.getAttribute("aria-controls")));
    button.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const next = buttons.at((index + (key === "ArrowLeft" ? -1 : 1)) % buttons.length);
      next.focus();
      next.click();
    });
  }
  const named = () => showTab(["#card", "#map"].includes(location.hash) ? location.hash.slice(1) : "chips");
  addEventListener("hashchange", named);
  named();
}

function showTab(name) {
  for (const button of document.querySelectorAll("[role=tab]")) {
    const shown = button.getAttribute("aria-controls") === name;
    button.ariaSelected = shown;
    button.tabIndex = shown ? 0 : -1;
    $(`#${button.getAttribute("aria-controls")}`).hidden = !shown;
  }
  history.replaceState(null, "", name === "chips" ? location.pathname + location.search : `#${name}`);
  if (name === "card") fillCard();
  if (name === "map") atlas.show();
  else $(".workspace").append($("#detail"));
  if (name === "chips" && chips.selected?.scene) chips.select(null);
}

function fillCard() {
  const asked = card;
  filled ??= asked.then((facts) => asked === card && fill($("#card"), facts)).catch((error) => {
    say({ title: "This page is broken", detail: String(error) });
  });
}
