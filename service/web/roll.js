// Tells how often each label is set, and how far each scene is.

import { $, h, plural, spoken } from "./dom.js";

/** Tell how often each label is set; pressing one is to `choose` it for the map's colours, or none again. */
export function tellLabels(things, chosen, choose) {
  const counts = new Map();
  for (const { prediction } of things) for (const label of prediction?.labels ?? []) counts.set(label, (counts.get(label) ?? 0) + 1);
  const list = $("#map-labels");
  const focused = list.querySelector(":focus")?.value;
  const row = ([label, count]) => {
    const bar = h("i", { className: "fill", style: { width: `${(100 * count) / things.length}%` } });
    const parts = [spoken(label), h("span", { className: "track" }, bar), h("b", { textContent: count })];
    const on = { click: () => choose(label === chosen ? "" : label) };
    return h("li", {}, h("button", { type: "button", value: label, ariaPressed: label === chosen, on }, ...parts));
  };
  list.replaceChildren(...[...counts].sort(([, a], [, b]) => b - a).map(row));
  if (focused) list.querySelector(`[value="${CSS.escape(focused)}"]`)?.focus();
}

/** Keep a list of the scenes: how far each is, a button to `look` at it, and one that stops it or takes it away. */
export function tellScenes(list, status, scenes, look) {
  const rows = new Map();
  const row = (scene) => {
    const [bar, words] = [h("progress", { ariaLabel: "Windows labelled" }), h("span")];
    const button = h("button", { type: "button", on: { click: () => (underWay(scene) ? scenes.stop(scene) : scenes.remove(scene)) } });
    const name = h("button", { type: "button", className: "plain", textContent: scene.name, title: "Show it on the map", on: { click: () => look(scene) } });
    const element = h("li", { className: "group" }, name, bar, words, button);
    list.append(element);
    list.scrollTop = list.scrollHeight;
    return { element, name, bar, words, button };
  };
  scenes.addEventListener("changed", ({ detail: scene }) => {
    const { element, name, bar, words, button } = rows.get(scene) ?? rows.set(scene, row(scene)).get(scene);
    element.classList.toggle("alert", scene.state === "failed");
    name.disabled = !scene.about?.footprint;
    bar.hidden = !underWay(scene);
    if (scene.about) Object.assign(bar, { max: scene.about.windows, value: scene.windows.length });
    words.textContent = progress(scene);
    button.textContent = underWay(scene) ? "Cancel" : "Remove";
    button.ariaLabel = `${button.textContent} ${scene.name}`;
    if (!underWay(scene)) status.textContent = `${scene.name}: ${words.textContent}`;
  });
  scenes.addEventListener("forgotten", ({ detail: scene }) => rows.get(scene).element.remove());
}

const underWay = ({ state }) => state === "waiting" || state === "running";

function progress({ state, about, windows, problem }) {
  if (state === "waiting") return "waits for the one before";
  if (state === "running") return about ? `${windows.length} of ${plural(about.windows, "window")}` : "on its way to the service";
  if (problem) return `${problem.title}. ${problem.detail}`;
  const [skipped, failed] = ["skipped", "problem"].map((what) => windows.filter((window) => window[what]).length);
  const words = [`${plural(windows.length - skipped - failed, "window")} labelled`, skipped && `${skipped} without data`, failed && `${failed} failed`, about && !about.footprint && "it does not say where it lies"];
  const told = [words.filter(Boolean).join(", "), ...(about?.warnings ?? [])].join("; ");
  return state === "stopped" ? `cancelled: ${told}` : told;
}
