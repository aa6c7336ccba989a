// A background of square pictures, if the service names an address for them; nothing else is fetched from elsewhere.

import { worlds } from "./mercator.js";

const FINEST = 19;
const TILE_PX = 256;
const KEPT = 300;

export class Tiles {
  #images = new Map(); // address → image, the oldest first

  /** `address` has {z}, {x} and {y} in it; `arrived()` is called when one more can be drawn. */
  constructor(address, arrived) {
    Object.assign(this, { address, arrived });
  }

  draw(context, viewport, density) {
    const zoom = Math.min(FINEST, Math.max(0, Math.round(Math.log2((viewport.side_px * density) / TILE_PX))));
    const count = 2 ** zoom;
    const [west, north, east, south] = viewport.box;
    for (let column = Math.floor(west * count); column < east * count; column++) {
      for (let row = Math.max(0, Math.floor(north * count)); row < Math.min(1, south) * count; row++) {
        const image = this.#image(zoom, ((column % count) + count) % count, row);
        if (!image.complete || !image.naturalWidth) continue;
        const [left, top] = viewport.toScreen([column / count, row / count]).map(Math.floor);
        const [right, bottom] = viewport.toScreen([(column + 1) / count, (row + 1) / count]).map(Math.floor);
        context.drawImage(image, left, top, right - left, bottom - top); // no seams between them
      }
    }
  }

  #image(zoom, column, row) {
    const address = this.address.replace("{z}", zoom).replace("{x}", column).replace("{y}", row);
    if (!this.#images.has(address)) {
      const image = Object.assign(new Image(), { onload: this.arrived, src: address });
      this.#images.set(address, image);
      if (this.#images.size > KEPT) this.#images.delete(this.#images.keys().next().value);
    }
    return this.#images.get(address);
  }
}

/** Draw a scene's picture where it lies, in each world. */
export function picture(context, viewport, { image, box }) {
  for (const world of worlds(box, viewport.box)) {
    const [left, top] = viewport.toScreen([box[0] + world, box[1]]);
    const [right, bottom] = viewport.toScreen([box[2] + world, box[3]]);
    context.drawImage(image, left, top, right - left, bottom - top);
  }
}
