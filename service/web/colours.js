// What a number's colour is on the map, on light ground and on dark: far from the ground is high.

export const BINS = 16;
const GREENS = ["light-dark(#e6f1e9, #22332b)", "light-dark(#69b890, #2b8a68)", "light-dark(#0a5a40, #97ecc6)"];
const AMBERS = ["light-dark(#f7efe1, #322a20)", "light-dark(#e39a45, #b26d1e)", "light-dark(#7d3503, #ffd29a)"];

export const MODES = {
  probability: { ramp: GREENS, ends: ["0", "1"] },
  disagreement: { ramp: AMBERS, ends: ["0", "1"] },
  predicted: { ramp: [GREENS[0], GREENS[2]], ends: ["not set", "set"] },
};

/** The colours of a mode's bins, and of what has no number, as this element's theme has them. */
export function palette(element, mode) {
  const { ramp } = MODES[mode];
  const stops = ramp.map((colour) => resolved(element, colour).match(/\d+/g).map(Number));
  const bins = Array.from({ length: BINS }, (_, bin) => `rgb(${between(stops, bin / (BINS - 1)).map(Math.round).join(" ")})`);
  const named = ["page", "panel", "raised", "line", "ink", "soft", "bad", "ring"];
  return { bins, ...Object.fromEntries(named.map((name) => [name, resolved(element, `var(--${name})`)])) };
}

/** Which bin a number from 0 to 1 is in; null for none. */
export const bin = (number) => (number === null ? null : Math.min(BINS - 1, Math.max(0, Math.floor(number * BINS))));

/** A colour as a canvas takes it: only styles know `light-dark` and variables. */
function resolved(element, colour) {
  element.style.color = colour;
  return getComputedStyle(element).color;
}

function between(stops, share) {
  const at = share * (stops.length - 1);
  const before = Math.min(stops.length - 2, Math.floor(at));
  return stops[before].map((band, i) => band + (stops[before + 1][i] - band) * (at - before));
}
