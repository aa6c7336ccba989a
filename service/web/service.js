// Speaks to the service. A problem is an object { title, detail } as the service words it.

const PATIENCE_MS = 120_000; // how long a chip waits for a busy service
const TRIES = 3; // of a service that does not answer, beside the first
const UNREACHABLE = 0; // in place of a status
const UNREADABLE = -1;

export class Refused extends Error {
  constructor(problem, status = UNREACHABLE) {
    super(problem.title);
    this.problem = problem;
    this.status = status;
  }
}

const unreachable = {
  title: "The service does not answer",
  detail: "Is it still running, and this computer still connected? Try again once it is.",
};
const unreadable = {
  title: "The file cannot be read",
  detail: "It was moved, changed or deleted since it was chosen: choose it again.",
};

/** Fetch one of the service's descriptions: "labels" or "model". */
export const describe = async (path) => (await send(path)).json();

/** Label one chip, with all that the page shows. */
export const predict = (file, how) =>
  patiently(how, async () =>
    whole((await send("predict?members=true&evidence=true&footprint=true", await form(file, how.signal))).json()),
  );

/** Have the service draw a chip that the browser cannot. */
export const preview = (file, how) =>
  patiently(how, async () => whole((await send("preview", await form(file, how.signal))).blob()));

/** Ask again while the service is busy, and a few times when it does not answer; `onBusy(problem)` hears why. */
async function patiently({ signal, onBusy }, ask) {
  const began = performance.now();
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      const late = performance.now() - began > PATIENCE_MS || (error.status === UNREACHABLE && attempt >= TRIES);
      if (late || !mayPass(error)) throw error;
      onBusy(error.problem);
      const wait = Math.max(error.retryAfterMs ?? 0, 500 * 2 ** Math.min(attempt, 4));
      await pause(wait * (1 + Math.random() / 2), signal);
    }
  }
}

/** Whether an error is the service's state and not the chip's. */
export const mayPass = (error) => error.status === 503 || error.status === UNREACHABLE;

async function form(file, signal) {
  const body = new FormData();
  try {
    // Read here: in `fetch`, a file that is gone looks like a service that is.
    body.append("chip", new Blob([await file.arrayBuffer()]), file.name);
  } catch {
    throw new Refused(unreadable, UNREADABLE);
  }
  return { method: "POST", body, signal };
}

async function send(path, options) {
  const response = await whole(fetch(path, options));
  if (response.ok) return response;
  const refused = new Refused(await problemOf(response), response.status);
  refused.retryAfterMs = 1000 * Number(response.headers.get("Retry-After") ?? 0) || 0;
  throw refused;
}

/** Wait for what the network brings; if it breaks off, the service is not to be reached. */
async function whole(arriving) {
  try {
    return await arriving;
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(unreachable);
  }
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
    const giveUp = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", giveUp);
  });
}
