// Speaks to the service. A problem is an object { title, detail } as the service words it.

const PATIENCE_MS = 120_000; // how long a chip waits for a busy service

export class Refused extends Error {
  constructor(problem, status = 0) {
    super(problem.title);
    this.problem = problem;
    this.status = status;
  }
}

const unreachable = {
  title: "The service does not answer",
  detail: "Is it still running, and this computer still connected? Try again once it is.",
};

/** Fetch one of the service's descriptions: "labels" or "model". */
export const describe = async (path) => (await send(path)).json();

/** Label one chip, with all that the page shows. */
export async function predict(file, { signal, onBusy }) {
  const began = performance.now();
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await send("predict?members=true&evidence=true&footprint=true", form(file, signal));
      return await response.json();
    } catch (error) {
      const busy = error instanceof Refused && (error.status === 503 || error.status === 0);
      if (!busy || performance.now() - began > PATIENCE_MS || (error.status === 0 && attempt > 2)) throw error;
      onBusy(error.problem);
      const wait = Math.max(error.retryAfterMs ?? 0, 500 * 2 ** Math.min(attempt, 4));
      await pause(wait * (1 + Math.random() / 2), signal);
    }
  }
}

/** Have the service draw a chip that the browser cannot. */
export const preview = async (file, signal) => (await send("preview", form(file, signal))).blob();

function form(file, signal) {
  const body = new FormData();
  body.append("chip", file, file.name);
  return { method: "POST", body, signal };
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(unreachable);
  }
  if (response.ok) return response;
  const refused = new Refused(await problemOf(response), response.status);
  refused.retryAfterMs = 1000 * Number(response.headers.get("Retry-After") ?? 0) || 0;
  throw refused;
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    if (problem.title && problem.detail) return problem;
  } catch {
    // A proxy's answer is a page, not a problem.
  }
  const title = `${response.status} ${response.statusText}`.trim();
  return { title, detail: "Something between this page and the service answered so." };
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
