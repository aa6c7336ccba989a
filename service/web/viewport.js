// Which part of the square a map shows: its middle, and how many pixels the square's side is. Knows no elements.

import { middleOf } from "./mercator.js";

const LEAST_PX = 256; // the whole earth
const MOST_PX = 2 ** 34; // 2 mm at the equator
const MARGIN = 0.06; // round what is fitted in, of the screen

export class Viewport {
  size = [1, 1]; // of the screen, in CSS pixels
  middle = [0.5, 0.5];
  side_px = LEAST_PX;

  /** What is on the screen: [west, north, east, south]. */
  get box() {
    const [halfWidth, halfHeight] = this.size.map((pixels) => pixels / this.side_px / 2);
    const [x, y] = this.middle;
    return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
  }

  toScreen([x, y]) {
    return [(x - this.middle[0]) * this.side_px + this.size[0] / 2, (y - this.middle[1]) * this.side_px + this.size[1] / 2];
  }

  toSquare([left, top]) {
    return [(left - this.size[0] / 2) / this.side_px + this.middle[0], (top - this.size[1] / 2) / this.side_px + this.middle[1]];
  }

  /** Show a box whole, no closer than a `closest` side allows. */
  fit(box, closest_px = MOST_PX) {
    const sides = [box[2] - box[0], box[3] - box[1]];
    const fitting = sides.map((side, axis) => (this.size[axis] * (1 - 2 * MARGIN)) / Math.max(side, 1e-12));
    this.side_px = Math.max(LEAST_PX, Math.min(...fitting, closest_px));
    this.#turnTo(middleOf(box));
  }

  pan(right_px, down_px) {
    this.#turnTo([this.middle[0] + right_px / this.side_px, this.middle[1] + down_px / this.side_px]);
  }

  /** Come closer by a factor; what lies at a point of the screen stays there. */
  zoom(factor, at = [this.size[0] / 2, this.size[1] / 2]) {
    const before = this.toSquare(at);
    this.side_px = Math.min(MOST_PX, Math.max(LEAST_PX, this.side_px * factor));
    const after = this.toSquare(at);
    this.#turnTo([this.middle[0] + before[0] - after[0], this.middle[1] + before[1] - after[1]]);
  }

  /** The map goes on round the earth, and ends at the poles. */
  #turnTo([x, y]) {
    this.middle = [x - Math.floor(x), Math.min(1, Math.max(0, y))];
  }
}
