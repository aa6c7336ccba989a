// The map's tab: chips and windows of scenes on the ground, coloured by what the model says of them.

import { bin, MODES } from "./colours.js";
import { $, h, oncePerFrame, plural } from "./dom.js";
import { saveAnswers, saveLayer } from "./downloads.js";
import { MapView } from "./map.js";
import { boxOf, holds, project, ringsOf, side } from "./mercator.js";
import { tellLabels } from "./roll.js";
import { describe } from "./service.js";
import { Tiles } from "./tiles.js";

const TELL_MS = 300; // while answers come in, words need not follow each

export class Atlas {
  #bins = new Map(); // thing → its bin, or why it has none
  #taken = new Map(); // scene → how many of its windows are on the map
  #telling = 0;

  /** `say(problem)` tells a person of trouble. */
  constructor(chips, scenes, { say }) {
    Object.assign(this, { chips, scenes, say, mode: "probability", label: "" });
    this.map = new MapView($("#canvas"), {
      styleOf: (thing) => (this.#within(thing) ? this.#bin(thing) : null),
      mode: () => this.mode,
      pressed: this.#select,
      pointed: this.#point,
      boxed: this.#limit,
      walk: this.#walk,
      left: () => (this.map.boxing ? this.#box(false) : this.#select(null)),
    });
    this.#hear();
    this.#controls();
    this.#tiles();
    this.#legend();
    this.#tell();
  }

  /** Take the chip's detail in, as long as this tab is looked at. */
  show() {
    $("#map-side").prepend($("#detail"));
    this.map.repaint();
    this.#tell();
  }

  #hear() {
    const { chips, scenes, map } = this;
    const follow = oncePerFrame(() => this.#follow());
    chips.addEventListener("changed", ({ detail: chip }) => this.#place(chip));
    chips.addEventListener("selected", ({ detail: thing }) => {
      map.selected = thing;
      map.draw();
    });
    for (const kind of ["added", "changed", "arranged"]) chips.addEventListener(kind, follow);
    chips.addEventListener("cleared", () => this.#again());
    scenes.addEventListener("forgotten", () => this.#again());
    scenes.addEventListener("changed", ({ detail: scene }) => this.#take(scene));
    scenes.addEventListener("changed", follow);
    const repaint = () => map.repaint();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  #controls() {
    const { map, chips } = this;
    $("#map-mode").addEventListener("change", ({ target }) => this.#colour({ mode: target.value }));
    $("#map-label").addEventListener("change", ({ target }) => this.#colour({ label: target.value }));
    const buttons = {
      box: () => this.#box(!map.boxing),
      view: () => this.#limit(map.view),
      in: () => map.zoom(1.6),
      out: () => map.zoom(1 / 1.6),
      fit: () => map.fit(),
      next: () => this.#walk(1),
      previous: () => this.#walk(-1),
      geojson: () => saveAnswers("geojson", this.#shown(), chips.serving?.labels ?? []),
      geopackage: () => this.#save(),
    };
    for (const [name, press] of Object.entries(buttons)) $(`#map-${name}`).addEventListener("click", press);
    $("#map-share").addEventListener("input", ({ target }) => {
      map.share = target.value / 100;
      map.draw();
    });
  }

  #save() {
    const complain = (error) => this.say(error.problem ?? { title: "This page is broken", detail: String(error) });
    saveLayer(this.#shown()).catch(complain);
  }

  async #tiles() {
    const { address, attribution } = await describe("web/tiles.json");
    if (!address) return;
    this.map.tiles = new Tiles(address, this.map.draw);
    $("#attribution").textContent = attribution;
    this.map.draw();
  }

  /** Put a thing on the map, once it has an answer and says where it lies. */
  #place(thing) {
    this.#bins.delete(thing);
    const footprint = thing.footprint ?? thing.prediction?.footprint;
    if (footprint && !this.map.places.of(thing)) this.map.places.add(thing, ringsOf(footprint));
  }

  #take(scene) {
    for (const window of scene.windows.slice(this.#taken.get(scene) ?? 0)) this.#place(window);
    this.#taken.set(scene, scene.windows.length);
    if (!scene.picture || this.map.pictures.some(({ image }) => image === scene.picture.image)) return;
    const [west, south, east, north] = scene.picture.bounds;
    this.map.pictures.push({ image: scene.picture.image, box: [...project([west, north]), ...project([east, south])] });
  }

  /** Something was taken away: put on the map what is left. */
  #again() {
    this.map.places.clear();
    this.map.pictures = [];
    this.#bins.clear();
    this.#taken.clear();
    for (const chip of this.chips.all) this.#place(chip);
    for (const scene of this.scenes.all) this.#take(scene);
    if (this.chips.selected?.scene && !this.map.places.of(this.chips.selected)) this.chips.select(null);
    if (!this.map.places.all().next().value) this.#limit(null);
    this.#follow();
  }

  #follow() {
    this.map[this.map.still ? "fit" : "draw"]();
    this.#telling ||= setTimeout(() => this.#tell(), TELL_MS);
  }

  #bin(thing) {
    if (!this.#bins.has(thing)) this.#bins.set(thing, bin(this.#number(thing)) ?? (thing.skipped ? "skipped" : "failed"));
    return this.#bins.get(thing);
  }

  #number(thing) {
    if (this.mode !== "predicted") return this.chips[this.mode](thing, this.label);
    const { labels } = thing.prediction ?? {};
    return labels ? Number(this.label ? labels.includes(this.label) : labels.length > 0) : null;
  }

  #within = (thing) => !this.chips.view.within || this.chips.view.within(thing);

  #shown = () => [...this.map.places.all()].map(({ thing }) => thing).filter(this.#within);

  #colour(changes) {
    Object.assign(this, changes);
    $("#map-mode").value = this.mode;
    $("#map-label").value = this.label;
    this.#bins.clear();
    this.map.repaint();
    this.#legend();
    this.#tell();
  }

  #box(on) {
    this.map.boxing = on;
    $("#map-box").ariaPressed = on;
  }

  /** Have the gallery and the map show only what has its middle in a box of the square; null for all. */
  #limit = (area) => {
    this.#box(false);
    const { of } = this.map.places;
    const within = area && ((thing) => Boolean(of(thing)) && holds(area, of(thing).box));
    if (within !== this.chips.view.within) this.chips.arrange({ ...this.chips.view, within });
    this.#tell();
  };

  all = () => this.#limit(null);

  /** Go to a scene. */
  look = ({ about }) => this.map.fit([boxOf(ringsOf(about.footprint).flat())]);

  #select = (thing) => {
    this.chips.select(thing);
    if (thing) this.map.reveal(thing);
  };

  /** Go on to the next place, high numbers first. */
  #walk = (step) => {
    const numbers = new Map(this.#shown().map((thing) => [thing, this.#number(thing) ?? -1]));
    const order = [...numbers.keys()].sort((a, b) => numbers.get(b) - numbers.get(a));
    const at = order.indexOf(this.chips.selected);
    this.#select(order.at(at < 0 ? Math.min(step, 0) : (at + step) % order.length) ?? null);
  };

  #point = (thing, place) => {
    const where = place && `${side(place[1], "NS")}, ${side(place[0] - 360 * Math.round(place[0] / 360), "EW")}`;
    $("#map-here").textContent = thing ? [thing.name, this.#number(thing)?.toFixed(2)].filter(Boolean).join(": ") : where;
  };

  #legend() {
    const { ramp, ends } = MODES[this.mode];
    $("#map-ramp").style.background = `linear-gradient(90deg, ${ramp.join()})`;
    $("#map-ends").replaceChildren(...ends.map((textContent) => h("span", { textContent })));
  }

  #tell() {
    clearTimeout(this.#telling);
    this.#telling = 0;
    const { chips, scenes, map } = this;
    const [all, shown] = [[...map.places.all()].map(({ thing }) => thing), this.#shown()];
    $("#map").classList.toggle("empty", !all.length && !scenes.all.length);
    $("#map-share").parentElement.hidden = !map.pictures.length;
    const windows = all.filter(({ scene }) => scene).length;
    const placeless = chips.all.filter((chip) => chip.prediction && !map.places.of(chip)).length;
    const words = [windows && plural(windows, "window"), all.length - windows && plural(all.length - windows, "chip")];
    words.push(placeless && `${plural(placeless, "chip")} without a place`);
    $("#map-summary").textContent = words.filter(Boolean).join(", ");
    $("#area").hidden = !chips.view.within;
    $("#area span").textContent = `${shown.length} of ${all.length} on the map are in the area`;
    for (const kind of ["skipped", "failed"]) $(`#map-${kind}`).hidden = !shown.some((thing) => this.#bin(thing) === kind);
    tellLabels(shown, this.label, (label) => this.#colour({ label }));
  }
}
