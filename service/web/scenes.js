// What happens to every scene: the service cuts it into windows, and they come labelled, one by one.
//
// Events: "changed" (a scene: its state, or windows came), "forgotten" (a scene). Knows no elements.

import { Refused, scene as ask } from "./service.js";
import { sizeOf } from "./tiff.js";
import { BrokenOff, lines, windowOf } from "./windows.js";

const TIMES_A_CHIP = 2; // with a place on the ground, as many chips' sides are no chip any more,
const TIMES_WITHOUT_PLACE = 4; // and without one
const TIFF = /\.tiff?$/i;

/** Part files into scenes, which are TIFFs much larger than a chip, and chips; `input()` promises what a chip is. */
export async function part(files, input) {
  const isTiff = ({ file, name }) => TIFF.test(name) || file.type === "image/tiff";
  const chip = files.some(isTiff) && (await input());
  const isScene = async (one) => {
    const size = isTiff(one) && (await sizeOf(one.file));
    return size && Math.max(size.width / chip.width, size.height / chip.height) >= (size.placed ? TIMES_A_CHIP : TIMES_WITHOUT_PLACE);
  };
  const large = await Promise.all(files.map(isScene));
  return { scenes: files.filter((_, index) => large[index]), chips: files.filter((_, index) => !large[index]) };
}

export class Scenes extends EventTarget {
  all = [];
  #running = false;

  /** As `Pipeline` has them: `onAnswer(model, how)`, `onBusy(problem)` and `onFree()`. */
  constructor({ onAnswer, onBusy, onFree }) {
    super();
    Object.assign(this, { onAnswer, onBusy, onFree });
  }

  /** Have scenes labelled, one at a time. */
  take(files) {
    for (const { file, name } of files) {
      const scene = { file, name, about: null, windows: [], picture: null, problem: null, stop: new AbortController() };
      this.all.push(scene);
      this.#change(scene, { state: "waiting" }); // then "running", and "done", "stopped" or "failed"
    }
    this.#run();
  }

  stop(scene) {
    scene.stop.abort();
    if (scene.state === "waiting") this.#change(scene, { state: "stopped" });
  }

  /** Forget a scene, and its windows. */
  remove(scene) {
    scene.stop.abort();
    this.all = this.all.filter((other) => other !== scene);
    this.dispatchEvent(new CustomEvent("forgotten", { detail: scene }));
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    for (let scene; (scene = this.all.find(({ state }) => state === "waiting")); ) await this.#label(scene);
    this.#running = false;
  }

  async #label(scene) {
    const { signal } = scene.stop;
    const how = { signal, since: performance.now(), onBusy: this.onBusy, onFree: this.onFree };
    this.#change(scene, { state: "running" });
    try {
      const { body } = await ask(scene.file, scene.name, how);
      this.onFree();
      await this.#read(body, scene, how);
      this.#change(scene, { state: "done" });
    } catch (error) {
      this.#change(scene, signal.aborted ? { state: "stopped" } : { state: "failed", problem: problemOf(error, scene) });
      scene.stop.abort(); // nobody listens any more
    }
  }

  /** Take the lines of an answer: about the scene, its windows, and that it is done. */
  async #read(body, scene, how) {
    let done = null;
    for await (const some of lines(body)) {
      for (const line of some) {
        if (line.scene) {
          scene.by = await this.onAnswer(line.model, how);
          scene.about = line.scene;
          scene.picture = await pictureOf(line.scene.preview);
        } else if (line.window) scene.windows.push(windowOf(line, scene, scene.by));
        else if (line.error) throw new Refused(line.error);
        done ??= line.done;
      }
      how.signal.throwIfAborted();
      this.#change(scene);
    }
    if (!done) throw new BrokenOff();
  }

  #change(scene, changes) {
    Object.assign(scene, changes);
    if (this.all.includes(scene)) this.dispatchEvent(new CustomEvent("changed", { detail: scene }));
  }
}

function problemOf(error, { windows, about }) {
  if (error instanceof Refused) return error.problem;
  if (error instanceof BrokenOff) {
    return { title: "The answer broke off", detail: `${windows.length} of ${about?.windows ?? "all"} windows came; drop the scene again for the rest.` };
  }
  return { title: "This page is broken", detail: String(error) };
}

/** The scene's picture, and its box in degrees; null without one. */
async function pictureOf(preview) {
  if (!preview) return null;
  const bytes = Uint8Array.from(atob(preview.image.split(",")[1]), (letter) => letter.charCodeAt(0));
  return { image: await createImageBitmap(new Blob([bytes])), bounds: preview.bounds };
}
