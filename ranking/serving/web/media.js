// Pictures and sounds of items: by their address or, where a key is set, fetched with it and shown from memory.

import { authorization, key } from "./key.js";

const MOST = 64_000_000; // bytes that are kept; the one that rested longest makes room
const AHEAD = "400px"; // how near a picture is when it is asked for

const kept = new Map(); // by path: { url, size }, the latest last
const coming = new Map();
let held = 0;

/** Where a file can be read from: its path, or one in memory. */
export async function source(path) {
  if (key() === null) return path;
  const found = kept.get(path);
  if (found) {
    kept.delete(path);
    kept.set(path, found);
    return found.url;
  }
  if (!coming.has(path)) coming.set(path, load(path).finally(() => coming.delete(path)));
  return coming.get(path);
}

async function load(path) {
  const answer = await fetch(path, { headers: authorization(), cache: "no-store" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const blob = await answer.blob();
  const url = URL.createObjectURL(blob);
  kept.set(path, { url, size: blob.size });
  held += blob.size;
  for (const [other, { url: former, size }] of kept) {
    if (held <= MOST || other === path) break;
    kept.delete(other);
    held -= size;
    URL.revokeObjectURL(former);
  }
  return url;
}

const wanted = new WeakMap();
const near = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) if (isIntersecting) fill(target);
}, { rootMargin: AHEAD });

/** Let an image show a file: at once, or once it is near what is seen. */
export function show(img, path, { eager = false } = {}) {
  if (key() === null) {
    img.src = path;
    return;
  }
  wanted.set(img, path);
  if (eager) fill(img);
  else near.observe(img);
}

async function fill(img) {
  near.unobserve(img);
  try {
    img.src = await source(wanted.get(img));
  } catch {
    img.dispatchEvent(new Event("error"));
  }
}
