// The answer about a scene: lines of JSON, the windows one by one.

/** A stream that ended within a line, or that the network lost. */
export class BrokenOff extends Error {}

/** Read a stream of JSON lines; gives what has come, as lists. */
export async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader(); // not every browser walks streams by itself
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new BrokenOff();
    });
    if (done && rest) throw new BrokenOff();
    if (done) return;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    yield whole.filter(Boolean).map((line) => JSON.parse(line));
  }
}

/** A window as a line tells it, with what the page also knows of a chip; `by` is the description of the model. */
export const windowOf = (line, scene, by) => ({
  scene,
  by,
  name: `${scene.name}, column ${line.window.column}, row ${line.window.row}`,
  window: line.window,
  footprint: line.footprint,
  state: line.error ? "failed" : "done",
  prediction: line.scores ? line : null,
  skipped: line.skipped,
  problem: line.error ?? null,
  truth: null,
});
