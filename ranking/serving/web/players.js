// Sounds: one at a time.

import { sound } from "./api.js";
import { h, s, toast } from "./dom.js";
import { key } from "./key.js";
import { source } from "./media.js";

const audio = new Audio();
audio.preload = "none";
let pressed;

function stop() {
  audio.pause();
  pressed?.setAttribute("aria-pressed", "false");
  pressed = undefined;
}

audio.addEventListener("ended", stop);

/** A button that plays an item's sound, and stops it. */
export function player(id, title) {
  const button = h(
    "button",
    { type: "button", class: "play", "aria-pressed": "false", "aria-label": `Play the sound of ${title}` },
    s("svg", { class: "go", viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" }, s("path", { d: "M8 5v14l11-7z" })),
    s("svg", { class: "stop", viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" }, s("path", { d: "M7 5h4v14H7zM13 5h4v14h-4z" })),
  );
  button.addEventListener("click", async () => {
    const same = pressed === button;
    stop();
    if (same) return;
    pressed = button;
    button.setAttribute("aria-pressed", "true");
    try {
      const from = await source(sound(id));
      if (pressed !== button) return; // another one was started meanwhile, or this one stopped
      audio.src = from;
      await audio.play();
    } catch (error) {
      if (error.name === "AbortError" || pressed !== button) return;
      stop();
      toast("This sound cannot be played here.", "bad");
    }
  });
  return button;
}

/** The browser's own controls for an item's sound. Where it has to be fetched with a key, they come on demand. */
export function controls(id, title) {
  const element = h("audio", { controls: true, preload: "none", "aria-label": `Sound of ${title}` });
  if (key() === null) {
    element.src = sound(id);
    return element;
  }
  const button = h("button", { type: "button", class: "button field" }, "Play the sound");
  button.addEventListener("click", async () => {
    try {
      element.src = await source(sound(id));
      button.replaceWith(element);
      element.focus();
      await element.play();
    } catch {
      toast("This sound cannot be played here.", "bad");
    }
  });
  return button;
}

/** Be quiet: the view is left. */
export const silence = stop;
