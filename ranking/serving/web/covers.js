// An item's picture, or what stands for it where there is none.

import { picture } from "./api.js";
import { h } from "./dom.js";
import { show } from "./media.js";

/** item: as listed, undefined where it is not. Its title stands beside it, so a screen reader passes it over. */
export function cover(id, title, item, { eager = false } = {}) {
  if (!item?.image) return blank(id, title);
  const img = h("img", {
    alt: "",
    width: 320,
    height: 240,
    loading: eager ? "eager" : "lazy",
    decoding: "async",
    onerror: (event) => event.target.replaceWith(blank(id, title)),
  });
  show(img, picture(id), { eager });
  return img;
}

function blank(id, title) {
  let hue = 7;
  for (const letter of title || id) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  const initials = (title || id)
    .split(/\s+/)
    .filter((word) => /^\p{L}|\p{N}/u.test(word))
    .slice(0, 2)
    .map((word) => [...word][0].toUpperCase())
    .join("");
  return h("span", { class: "blank", vars: { "--hue": String(hue) }, "aria-hidden": "true" }, initials || "–");
}
