// Speaks to the service. A problem is an object { title, detail } as the service words it.

const BUSY = [429, 502, 503, 504]; // the service when it is full, and what proxies say while it restarts
const WITHHELD = [401, 403, 404]; // what keys, and proxies, say of what is not for everybody
const PATIENCE_MS = 120_000; // how long a chip waits for a service that answers none; a start takes 10 to 60 s
const LONGEST_WAIT_MS = 4000; // between two tries,
const LONGEST_ASKED_MS = 30_000; // and where a `Retry-After` asks for more
const KEY = "chipvote-key"; // where this tab keeps the key: gone when it closes
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
  detail: "Is it still running, and this computer still connected?",
};
const unreadable = {
  title: "The file cannot be read",
  detail: "It was moved, changed or deleted since it was chosen: choose it again.",
};

let ask = () => Promise.reject(); // a person for a key, given a problem

/** Take what asks a person for a key: given why one is needed, it promises one. */
export const whoAsks = (how) => {
  ask = how;
};

/** Fetch one of the service's descriptions: "labels" or "model"; told how, as patiently as a chip waits. */
export const describe = (path, how) => {
  const once = async () => whole((await send(path)).json());
  return how ? patiently(how, once) : once();
};

/** Label one chip, with all that the page shows. */
export const predict = (file, how) =>
  patiently(how, async () =>
    whole((await send("predict?members=true&evidence=true&footprint=true", await form(file, how.signal))).json()),
  );

/** Have the service draw a chip that the browser cannot. */
export const preview = (file, how) =>
  patiently(how, async () => whole((await send("preview", await form(file, how.signal))).blob()));

/** Have a scene cut into windows and labelled; its answer comes line by line. */
export const scene = (file, name, how) =>
  patiently(how, async () => {
    const body = new FormData();
    await readable(file.slice(0, 1)); // not all of it: it may be large
    body.append("scene", file, name);
    return send("predict/scene?members=true&preview=true", { method: "POST", body, signal: how.signal });
  });

/** Have answers that the page has made a GeoPackage. */
export const layer = async (answers) => {
  const body = new Blob([JSON.stringify(answers)], { type: "application/json" });
  return whole((await send("layer", { method: "POST", body })).blob());
};

let barred; // the key that may not know of trials

/**
 * Fetch how a bundle differs that is tried unseen; null where that is not for this page to know, which is asked
 * once for each key, and never a reason to ask a person for one.
 */
export async function trial() {
  const key = sessionStorage.getItem(KEY);
  if (key === barred) return null;
  const response = await whole(fetch("shadow", { headers: proof(key) }));
  if (response.ok) return whole(response.json());
  if (!WITHHELD.includes(response.status)) throw new Refused(await problemOf(response), response.status);
  barred = key;
  return null;
}

let answeredAt = 0; // when any request last got an answer of the service, by performance.now()

/**
 * Ask again while the service is busy, restarts or does not answer. `onBusy(problem)` hears why, `onFree()` that it is no more so, or given up.
 * Where the service has not answered anything since before this began, patience counts from then, or from `since`, when a
 * person asked: chips that waited behind others do not wait for as long once more.
 */
async function patiently({ signal, since, onBusy, onFree }, ask) {
  const began = performance.now();
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await ask();
      if (attempt) onFree();
      return answer;
    } catch (error) {
      const late = performance.now() - Math.max(since, Math.min(answeredAt, began)) > PATIENCE_MS;
      if (late || !mayPass(error)) {
        if (attempt) onFree();
        throw late && mayPass(error) ? givenUp(error) : error;
      }
      onBusy(error.problem);
      const wait = Math.max(error.retryAfterMs ?? 0, Math.min(500 * 2 ** attempt, LONGEST_WAIT_MS));
      await pause(wait * (1 + Math.random() / 2), signal);
    }
  }
}

const givenUp = ({ problem: { title, detail }, status }) =>
  new Refused({ title, detail: `${detail} So it was for ${PATIENCE_MS / 60_000} minutes; try again once the service runs.` }, status);

/** Whether an error is the service's state and not the chip's. */
export const mayPass = ({ status }) => status === UNREACHABLE || BUSY.includes(status);

async function form(file, signal) {
  const body = new FormData();
  body.append("chip", new Blob([await readable(file)]), file.name);
  return { method: "POST", body, signal };
}

/** Read a file before `fetch` does, where one that is gone looks like a service that is. */
async function readable(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Refused(unreadable, UNREADABLE);
  }
}

async function send(path, options) {
  const response = await withKey(path, options);
  if (!BUSY.includes(response.status)) answeredAt = performance.now();
  if (response.ok) return response;
  const refused = new Refused(await problemOf(response), response.status);
  refused.retryAfterMs = retryAfterMs(response.headers.get("Retry-After") ?? "");
  throw refused;
}

const proof = (key) => (key ? { "X-API-Key": key } : {}); // not Authorization, where a proxy's login may be

/** Fetch, with the key if there is one; as long as the service wants another, ask for it and fetch again. */
async function withKey(path, options) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const response = await whole(fetch(path, { ...options, headers: proof(key) }));
    if (!response.headers.get("WWW-Authenticate")?.startsWith("Bearer")) return response;
    const problem = await problemOf(response);
    if (sessionStorage.getItem(KEY) === key) sessionStorage.setItem(KEY, await ask(problem));
  }
}

/** How long an answer asks to wait, in seconds or until a date; 0 if it does not say. */
function retryAfterMs(asked) {
  const wait = /^\d+$/.test(asked) ? 1000 * asked : Date.parse(asked) - Date.now();
  return Math.min(Math.max(wait || 0, 0), LONGEST_ASKED_MS);
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
  const detail = "Something between this page and the service answered so.";
  return { title, detail: mayPass(response) ? `${detail} The service is starting, busy, or gone.` : detail };
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
