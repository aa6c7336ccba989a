// Draws where a label's evidence lies, in the colours of the service's own pictures (service/answers/overlay.py).

const COLOURS = [[110, 30, 200], [240, 50, 110], [255, 225, 80]]; // at 0, half and full
const STRENGTH = 0.78; // how much of the chip full evidence hides
const SIDE_PX = 192;

/** Draw a map of logits, rows from the top, over the whole canvas. */
export function draw(canvas, grid) {
  canvas.width = canvas.height = SIDE_PX;
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE_PX, SIDE_PX);
  const peak = Math.max(1e-9, ...grid.flat());
  for (let y = 0; y < SIDE_PX; y++) {
    for (let x = 0; x < SIDE_PX; x++) {
      const share = Math.min(1, Math.max(0, logit(grid, x, y) / peak));
      image.data.set([...colour(share), 255 * STRENGTH * share], 4 * (y * SIDE_PX + x));
    }
  }
  context.putImageData(image, 0, 0);
}

export function erase(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

/** The map's value at a pixel: linear between its cells' centres. */
function logit(grid, x, y) {
  const [top, bottom, down] = neighbours(grid.length, y);
  const [left, right, across] = neighbours(grid[0].length, x);
  const along = (row) => grid[row][left] * (1 - across) + grid[row][right] * across;
  return along(top) * (1 - down) + along(bottom) * down;
}

function neighbours(cells, pixel) {
  const at = Math.min(cells - 1, Math.max(0, ((pixel + 0.5) * cells) / SIDE_PX - 0.5));
  const before = Math.floor(at);
  return [before, Math.min(cells - 1, before + 1), at - before];
}

function colour(share) {
  const at = share * (COLOURS.length - 1);
  const before = Math.min(COLOURS.length - 2, Math.floor(at));
  return COLOURS[before].map((band, i) => band + (COLOURS[before + 1][i] - band) * (at - before));
}
