// Web Mercator: the world as a square of side 1, x from 180° W eastwards, y from the north downwards. Boxes are
// [west, north, east, south]. Source: Snyder 1987, p. 41, on a sphere as EPSG:3857 has it. Knows no elements.

const MOST_LATITUDE = 85.051129; // where the square ends
const EQUATOR_M = 40_075_017;

export const project = ([longitude, latitude]) => {
  const held = Math.min(MOST_LATITUDE, Math.max(-MOST_LATITUDE, latitude));
  const sine = Math.sin((held * Math.PI) / 180);
  return [longitude / 360 + 0.5, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
};

export const unproject = ([x, y]) => [360 * (x - 0.5), 90 - (360 * Math.atan(Math.exp(2 * Math.PI * (y - 0.5)))) / Math.PI];

/** A geometry's outer rings. What the antimeridian cuts in two lies together: its eastern part goes on beyond 1. */
export function ringsOf({ type, coordinates }) {
  const across = type === "MultiPolygon";
  return (across ? coordinates : [coordinates]).map(([ring]) => {
    const turn = across && ring.every(([longitude]) => longitude <= 0) ? 360 : 0;
    return ring.map(([longitude, latitude]) => project([longitude + turn, latitude]));
  });
}

/** The box round points. */
export const boxOf = (points) => round(points.map(([x, y]) => [x, y, x, y]));

/** The box round boxes. */
const round = (boxes) => boxes.reduce((one, other) => one.map((edge, index) => (index < 2 ? Math.min : Math.max)(edge, other[index])));

/** The narrower box round boxes: across the antimeridian or not. */
export function around(boxes) {
  const across = boxes.map((box) => (box[2] < 0.5 ? [box[0] + 1, box[1], box[2] + 1, box[3]] : box));
  const [one, other] = [boxes, across].map(round);
  return other[2] - other[0] < one[2] - one[0] ? other : one;
}

export const middleOf = ([west, north, east, south]) => [(west + east) / 2, (north + south) / 2];
export const meet = (one, other) => one[0] <= other[2] && one[2] >= other[0] && one[1] <= other[3] && one[3] >= other[1];

/** A view goes on round the earth: the whole numbers that, added to its x, bring a box into it. */
export function worlds([west, , east], view) {
  const first = Math.ceil(view[0] - east);
  return Array.from({ length: Math.max(0, Math.floor(view[2] - west) - first + 1) }, (_, index) => first + index);
}

/** Whether a box's middle lies in a view, in whichever world. */
export function holds(view, box) {
  const [x, y] = middleOf(box);
  return y >= view[1] && y <= view[3] && worlds([x, y, x, y], view).length > 0;
}

/** Whether a point lies in a ring, by the even-odd rule. */
export function inside(ring, [x, y]) {
  let odd = false;
  for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
    const [[x0, y0], [x1, y1]] = [ring[i], ring[j]];
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) odd = !odd;
  }
  return odd;
}

/** Metres on the ground for the square's side, at a height in it. */
export const groundMetres = (y) => EQUATOR_M * Math.cos((unproject([0, y])[1] * Math.PI) / 180);

/** The largest of …, 1, 2, 5, 10, … that is at most as much. */
export function roundDown(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [5, 2, 1].find((step) => step * power <= most);
}

/** Write an angle as 0.3211° N. */
export const side = (degrees, [positive, negative], decimals = 4) => `${Math.abs(degrees).toFixed(decimals)}° ${degrees < 0 ? negative : positive}`;
