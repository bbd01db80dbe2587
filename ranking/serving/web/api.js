// The HTTP API. Every error is a Problem (RFC 9457).

import { another, authorization, isWanted, key } from "./key.js";

const PATIENCE_MS = 60_000; // how long a release may take to load

/** What the server refuses. faults: [{field, text}]. wantsKey: for want of a key, or of one that has the scope. */
export class Problem extends Error {
  constructor(status, body, wantsKey = false) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.faults = body.faults ?? [];
    this.wantsKey = wantsKey;
  }
}

export const get = (path, options) => ask(path, {}, options);

export const post = (path, body, options) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }, options);

/**
 * Ask; while the server says 503, ask again after as long as it says. waiting: is told why, else the whole page is.
 * Where a key is wanted, the reader is asked for one first.
 */
async function ask(path, init, { signal, waiting = sayWaiting } = {}) {
  let until = Date.now() + PATIENCE_MS;
  for (;;) {
    const sentWith = key();
    const answer = await sent(path, { ...init, signal });
    const body = await answer.json().catch((error) => {
      if (error.name === "AbortError") throw error; // the page was left while the answer came
      return null;
    });
    if (answer.ok && body !== null) {
      sayWaiting("");
      return body;
    }
    const problem = new Problem(answer.status, body ?? { title: `HTTP ${answer.status}: no JSON` }, isWanted(answer));
    if (problem.wantsKey && (await another(sentWith, problem))) {
      until = Date.now() + PATIENCE_MS;
      continue;
    }
    const again = Number(answer.headers.get("Retry-After"));
    if (answer.status !== 503 || !again || Date.now() > until) {
      sayWaiting("");
      throw problem;
    }
    waiting(problem.message);
    await pause(again * 1000, signal);
  }
}

function sayWaiting(why) {
  const place = document.getElementById("waiting");
  place.hidden = !why;
  if (place.textContent !== why) place.textContent = why;
}

async function sent(path, init) {
  try {
    return await fetch(path, { ...init, headers: { ...init.headers, ...authorization() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The server does not answer. Is it running?" });
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

let asked;

/** What requests may name; asked for once. */
export function choices() {
  asked ??= get("/v1/choices").catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}

const known = new Map();

/** What lists show of these items, by id. */
export async function listed(ids, options) {
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  for (let start = 0; start < missing.length; start += 100) {
    const query = new URLSearchParams(missing.slice(start, start + 100).map((id) => ["id", id]));
    const { items } = await get(`/v1/items?${query}`, options);
    for (const item of items) known.set(item.item_id, item);
  }
  return known;
}

export const picture = (id) => `/media/${encodeURIComponent(id)}/image`;
export const sound = (id) => `/media/${encodeURIComponent(id)}/audio`;
export const address = (id) => `/items/${encodeURIComponent(id)}`;
