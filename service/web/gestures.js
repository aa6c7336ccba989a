// What mouse, wheel, fingers and keys do with a map. Knows nothing of what is drawn.

const STEP = 0.2; // of the screen, for an arrow key
const ZOOM = 1.6; // of a key
const WHEEL_PX = 400; // bring e times closer
const LINE_PX = 24; // where a wheel counts lines
const CLICK_PX = 5; // a hand is not quite still

/** Follow an element: move `viewport`, tell `map`, of which `boxing` has every drag draw a box, and do what `keys` names. */
export function follow(element, viewport, map, keys) {
  const fingers = new Map(); // pointer → where it is
  let from = null; // where the only one went down, whether it draws, and whether it is still
  const at = ({ offsetX, offsetY }) => [offsetX, offsetY];
  const box = ([x, y]) => [Math.min(from.at[0], x), Math.min(from.at[1], y), Math.max(from.at[0], x), Math.max(from.at[1], y)];
  const lift = (event) => {
    fingers.delete(event.pointerId);
    const ended = event.type === "pointerup" ? from : null;
    const drawn = ended && box(at(event));
    from = null;
    map.drawing(null);
    if (ended?.still) map.press(at(event));
    else if (ended?.draws) map.boxed(drawn);
  };
  const pointer = {
    pointerdown(event) {
      if (event.button) return;
      element.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, at(event));
      from = fingers.size > 1 ? null : { at: at(event), draws: map.boxing || event.shiftKey, still: true };
      map.drawing(null);
    },
    pointermove(event) {
      const [before, now] = [fingers.get(event.pointerId), at(event)];
      if (!before) return map.point(now);
      fingers.set(event.pointerId, now);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (from) from.still &&= Math.hypot(now[0] - from.at[0], now[1] - from.at[1]) < CLICK_PX;
      if (from?.still) return;
      if (from?.draws) return map.drawing(box(now));
      if (other) pinch(viewport, other, before, now);
      else viewport.pan(before[0] - now[0], before[1] - now[1]);
      map.moved();
    },
    pointerup: lift,
    pointercancel: lift,
    pointerleave: () => map.point(null),
  };
  for (const [kind, listener] of Object.entries(pointer)) element.addEventListener(kind, listener);
  const wheel = (event) => {
    event.preventDefault();
    viewport.zoom(Math.exp((-event.deltaY * (event.deltaMode ? LINE_PX : 1)) / WHEEL_PX), at(event));
    map.moved();
  };
  element.addEventListener("wheel", wheel, { passive: false });
  const move = (right, down) => () => viewport.pan(right * STEP * viewport.size[0], down * STEP * viewport.size[1]);
  const zoom = (factor) => () => viewport.zoom(factor);
  const moves = { ArrowLeft: move(-1, 0), ArrowRight: move(1, 0), ArrowUp: move(0, -1), ArrowDown: move(0, 1), "+": zoom(ZOOM), "=": zoom(ZOOM), "-": zoom(1 / ZOOM) };
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn({ ...moves, ...keys }, event.key)) return;
    event.preventDefault();
    keys[event.key]?.();
    if (!moves[event.key]) return;
    moves[event.key]();
    map.moved();
  });
}

/** Zoom and move so that what is under two fingers stays under them. */
function pinch(viewport, other, before, now) {
  const between = (one) => [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
  const apart = (one) => Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
  const [was, is] = [between(before), between(now)];
  viewport.pan(was[0] - is[0], was[1] - is[1]);
  viewport.zoom(apart(now) / apart(before), is);
}
