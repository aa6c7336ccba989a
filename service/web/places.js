// Where things lie, found again by a view or a point: a grid for each size of thing. Knows no elements.

import { boxOf, inside, meet, middleOf, worlds } from "./mercator.js";

const FINEST = 24; // how often the square is halved at most: a cell of 2.4 m at the equator
const KEYS = 2 ** 26;

export class Places {
  #levels = new Map(); // how often the square is halved → cell → its places
  #of = new Map(); // thing → its place

  /** Put a thing where its rings are: in the cell that its middle is in, of the smallest cells as large as it. */
  add(thing, rings) {
    const box = boxOf(rings.flat());
    const place = { thing, rings, box };
    const [x, y] = middleOf(box);
    const level = Math.max(0, Math.min(FINEST, Math.floor(-Math.log2(Math.max(box[2] - box[0], box[3] - box[1])))));
    const cells = this.#levels.get(level) ?? this.#levels.set(level, new Map()).get(level);
    const key = Math.floor(x * 2 ** level) * KEYS + Math.floor(y * 2 ** level);
    cells.get(key)?.push(place) ?? cells.set(key, [place]);
    this.#of.set(thing, place);
  }

  of = (thing) => this.#of.get(thing);
  all = () => this.#of.values();

  clear() {
    this.#levels.clear();
    this.#of.clear();
  }

  /** Give each place in a view as [place, world], where `world` is to be added to its x. */
  *in([west, north, east, south]) {
    for (const world of worlds([0, 0, 2, 1], [west, north, east, south])) {
      const view = [west - world, north, east - world, south];
      for (const places of this.#near(view)) for (const place of places) if (meet(place.box, view)) yield [place, world];
    }
  }

  /** The thing at a point, the smallest if there are several; null where none is. */
  at([x, y]) {
    let found = null;
    for (const [place, world] of this.in([x, y, x, y])) {
      const smaller = !found || area(place) < area(found);
      if (smaller && place.rings.some((ring) => inside(ring, [x - world, y]))) found = place;
    }
    return found?.thing ?? null;
  }

  /** The cells' places that may reach into a box: a place reaches half a cell beyond its own. */
  *#near([west, north, east, south]) {
    for (const [level, cells] of this.#levels) {
      const count = 2 ** level;
      const [left, top] = [west, north].map((edge) => Math.floor(edge * count - 0.5));
      const [right, bottom] = [east, south].map((edge) => Math.floor(edge * count + 0.5));
      if ((right - left + 1) * (bottom - top + 1) > cells.size) {
        yield* cells.values();
        continue;
      }
      for (let column = left; column <= right; column++) {
        for (let row = top; row <= bottom; row++) {
          const places = cells.get(column * KEYS + row);
          if (places) yield places;
        }
      }
    }
  }
}

const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
