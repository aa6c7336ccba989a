// Draws a map's parts on a canvas: the graticule, what lies in places, the scale. Knows no events.

import { groundMetres, project, roundDown, side, unproject } from "./mercator.js";

const LINE_APART_PX = 120;
const OUTLINED_PX = 7; // smaller things have no line round them
const LEAST_PX = { chip: 9, window: 1.5 }; // one chip on a continent is still to be seen
const SCALE_PX = 110; // at most
const FONT = "11px system-ui, sans-serif";
const INSET_PX = 10;

/** Draw meridians and parallels; returns their labels, which belong over all else. */
export function graticule(context, viewport, colours) {
  const { box: [west, north, east, south], size: [width, height] } = viewport;
  const every = Math.min(30, roundDown((2 * LINE_APART_PX * 360) / viewport.side_px));
  const decimals = Math.max(0, -Math.floor(Math.log10(every)));
  const labels = [];
  context.beginPath();
  for (const degrees of lines(360 * (west - 0.5), 360 * (east - 0.5), every)) {
    const x = crisp(viewport.toScreen([degrees / 360 + 0.5, 0])[0]);
    context.moveTo(x, 0);
    context.lineTo(x, height);
    const text = side(degrees - 360 * Math.round(degrees / 360), "EW", decimals);
    if (x > 80 && x < width - 30) labels.push({ text, x, y: INSET_PX, textAlign: "center", textBaseline: "top" });
  }
  for (const degrees of lines(unproject([0, south])[1], unproject([0, north])[1], every)) {
    const y = crisp(viewport.toScreen(project([0, degrees]))[1]);
    context.moveTo(0, y);
    context.lineTo(width, y);
    if (y > 30 && y < height - 40) labels.push({ text: side(degrees, "NS", decimals), x: width - INSET_PX, y, textAlign: "right", textBaseline: "middle" });
  }
  stroke(context, colours.line, 1);
  return labels;
}

/** Draw places, [place, world] each, in the colour that `styleOf(thing)` names among `fills`; null leaves it out. */
export function places(context, viewport, found, styleOf, fills, gap) {
  const paths = new Map(); // one for each colour: far quicker than one for each place
  const outlines = new Path2D();
  for (const [place, world] of found) {
    const style = styleOf(place.thing);
    if (style === null) continue;
    const path = paths.get(style) ?? paths.set(style, new Path2D()).get(style);
    const wide_px = trace(path, viewport, place, world);
    if (wide_px >= OUTLINED_PX || !place.thing.window) trace(outlines, viewport, place, world);
  }
  for (const [style, path] of paths) {
    context.fillStyle = fills[style];
    context.fill(path);
  }
  stroke(context, gap, 1, outlines);
}

/** Draw a line round one place that shows on any ground. */
export function highlight(context, viewport, place, world, colours) {
  const path = new Path2D();
  trace(path, viewport, place, world);
  context.lineJoin = "round";
  stroke(context, colours.panel, 6, path);
  stroke(context, colours.ring, 3, path);
}

/** Draw how long a round number of metres is, at the lower left. */
export function scale(context, viewport, colours) {
  const pixel_m = groundMetres(viewport.middle[1]) / viewport.side_px;
  const metres = roundDown(SCALE_PX * pixel_m);
  const [left, bottom, length] = [INSET_PX + 2, viewport.size[1] - INSET_PX - 2, metres / pixel_m];
  const bar = new Path2D(`M${left} ${bottom - 5}v5h${length}v-5`);
  stroke(context, colours.page, 5, bar);
  stroke(context, colours.ink, 1.5, bar);
  const text = metres < 1000 ? `${metres} m` : `${metres / 1000} km`;
  write(context, { text, x: left + length / 2, y: bottom - 4, textAlign: "center", textBaseline: "bottom" }, colours.ink, colours.page);
}

/** Draw a box that grows, on the screen. */
export function box(context, [left, top, right, bottom], colours) {
  const path = new Path2D();
  path.rect(left, top, right - left, bottom - top);
  stroke(context, colours.page, 4, path);
  stroke(context, colours.ring, 2, path);
}

/** Draw what the keyboard points at. */
export function crosshair(context, [x, y], colours) {
  const path = new Path2D(`M${x - 12} ${y}h8m8 0h8M${x} ${y - 12}v8m0 8v8`);
  stroke(context, colours.page, 4, path);
  stroke(context, colours.ink, 1.5, path);
}

export function stroke(context, strokeStyle, lineWidth, ...path) {
  Object.assign(context, { strokeStyle, lineWidth });
  context.stroke(...path);
}

/** Write a label, with a rim. */
export function write(context, { text, x, y, textAlign, textBaseline }, fillStyle, strokeStyle) {
  Object.assign(context, { font: FONT, textAlign, textBaseline, lineJoin: "round", lineWidth: 3.5, strokeStyle, fillStyle });
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}

const crisp = (pixels) => Math.round(pixels) + 0.5;

function* lines(from, to, every) {
  for (let index = Math.ceil(from / every); index * every <= to; index++) yield index * every;
}

/** Add a place to a path, as a square where it is too small to be seen; returns how wide it is. */
function trace(path, viewport, { thing, rings, box }, world) {
  const wide_px = Math.max(box[2] - box[0], box[3] - box[1]) * viewport.side_px;
  const least_px = thing.window ? LEAST_PX.window : LEAST_PX.chip;
  if (wide_px < least_px) {
    const [x, y] = viewport.toScreen([(box[0] + box[2]) / 2 + world, (box[1] + box[3]) / 2]);
    path.rect(x - least_px / 2, y - least_px / 2, least_px, least_px);
    return wide_px;
  }
  for (const ring of rings) {
    for (let index = 0; index < ring.length; index++) {
      const [x, y] = viewport.toScreen([ring[index][0] + world, ring[index][1]]);
      if (index) path.lineTo(x, y);
      else path.moveTo(x, y);
    }
    path.closePath();
  }
  return wide_px;
}
