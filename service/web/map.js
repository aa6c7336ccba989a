// The map on its canvas: what is drawn in which order, and what hands do with it. Knows no chips and no labels.

import { palette } from "./colours.js";
import { box, crosshair, graticule, highlight, places, scale, stroke, write } from "./drawing.js";
import { oncePerFrame } from "./dom.js";
import { follow } from "./gestures.js";
import { around, middleOf, unproject, worlds } from "./mercator.js";
import { Places } from "./places.js";
import { picture } from "./tiles.js";
import { Viewport } from "./viewport.js";

const CLOSEST_PX = 2 ** 27; // that fitting in comes: 0.3 m a pixel at the equator
const THUMB_PX = 16; // of the slider below
const NEAR_PX = 5;
const VEIL = 0.8; // how much the layer hides of what is behind it

export class MapView {
  places = new Places();
  pictures = []; // of scenes: { image, box } each
  share = 0; // of the width, from the left, that shows the pictures alone
  selected = null;
  boxing = false; // a drag draws a box
  tiles = null;
  still = true; // not moved by a person
  #box = null; // that is being drawn, on the screen
  #viewport = new Viewport();
  #colours = null;

  /**
   * `look.styleOf(thing)` names a bin, "failed" or "skipped", or null for what is not to be seen, `look.mode()` the
   * colours; the others hear of a person.
   */
  constructor(canvas, look) {
    Object.assign(this, { canvas, look });
    this.draw = oncePerFrame(() => this.#draw());
    const press = () => this.press(this.#viewport.size.map((side) => side / 2));
    const keys = { 0: () => this.fit(), Enter: press, " ": press, Escape: look.left, PageDown: () => look.walk(1), PageUp: () => look.walk(-1) };
    follow(canvas, this.#viewport, this, keys);
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, this.draw);
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  moved() {
    this.still = false;
    this.draw();
  }

  drawing(box) {
    this.#box = box;
    this.draw();
  }

  boxed = (box) => this.look.boxed(this.#toSquare(box));
  press = (point) => this.look.pressed(this.#at(point));
  point = (point) => this.look.pointed(point && this.#at(point), point && unproject(this.#viewport.toSquare(point)));

  get view() {
    return this.#viewport.box;
  }

  /** Take the theme's and the mode's colours, and draw. */
  repaint() {
    this.#colours = null;
    this.draw();
  }

  zoom(factor) {
    this.#viewport.zoom(factor);
    this.moved();
  }

  /** Show everything, or some boxes. */
  fit(some) {
    this.still = !some;
    const boxes = some ?? [...this.places.all(), ...this.pictures].map(({ box }) => box);
    if (boxes.length) this.#viewport.fit(around(boxes), CLOSEST_PX);
    this.draw();
  }

  /** Have a thing on the screen. */
  reveal(thing) {
    const place = this.places.of(thing);
    if (!place || [...this.places.in(this.view)].some(([seen]) => seen === place)) return;
    this.#viewport.middle = middleOf(place.box);
    this.moved();
  }

  /** What lies at a point; or near it, for some things are drawn larger than they are. */
  #at([x, y]) {
    const near = () => this.places.in(this.#toSquare([x - NEAR_PX, y - NEAR_PX, x + NEAR_PX, y + NEAR_PX])).next().value?.[0].thing;
    const thing = this.places.at(this.#viewport.toSquare([x, y])) ?? near();
    return thing && this.look.styleOf(thing) !== null ? thing : null;
  }

  #toSquare([left, top, right, bottom]) {
    return [...this.#viewport.toSquare([left, top]), ...this.#viewport.toSquare([right, bottom])];
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth) return; // on another tab
    this.#viewport.size = [clientWidth, clientHeight];
    this.canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(clientHeight * devicePixelRatio);
    if (this.still) this.fit();
    this.#draw(); // a canvas of another size is empty
  }

  #draw() {
    if (!this.canvas.clientWidth) return; // on another tab: nothing is fetched for it
    const [context, viewport] = [this.canvas.getContext("2d"), this.#viewport];
    const [width, height] = viewport.size;
    const colours = (this.#colours ??= palette(this.canvas, this.look.mode()));
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.fillStyle = colours.page;
    context.fillRect(0, 0, width, height);
    this.tiles?.draw(context, viewport, devicePixelRatio);
    const labels = graticule(context, viewport, colours);
    for (const one of this.pictures) picture(context, viewport, one);
    const divider = this.share ? Math.round(THUMB_PX / 2 + this.share * (width - THUMB_PX)) : 0;
    this.#layer(context, divider, colours);
    if (this.share) {
      const path = new Path2D(`M${divider} 0v${height}`);
      stroke(context, colours.page, 5, path);
      stroke(context, colours.ink, 2, path);
    }
    if (this.selected) this.#mark(context, colours);
    for (const label of labels) write(context, label, colours.soft, colours.page);
    scale(context, viewport, colours);
    if (this.#box) box(context, this.#box, colours);
    if (this.canvas.matches(":focus-visible")) crosshair(context, [width / 2, height / 2], colours);
  }

  #layer(context, divider, colours) {
    const [width, height] = this.#viewport.size;
    context.save();
    context.beginPath();
    context.rect(divider, 0, width - divider, height);
    context.clip();
    context.globalAlpha = this.tiles || this.pictures.length ? VEIL : 1;
    const fills = { ...colours.bins, failed: colours.bad, skipped: colours.raised };
    places(context, this.#viewport, this.places.in(this.view), this.look.styleOf, fills, colours.page);
    context.restore();
  }

  #mark(context, colours) {
    const place = this.places.of(this.selected);
    if (!place || this.look.styleOf(this.selected) === null) return;
    for (const world of worlds(place.box, this.view)) highlight(context, this.#viewport, place, world, colours);
  }
}
