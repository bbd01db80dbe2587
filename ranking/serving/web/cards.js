// Recommended items as cards.

import { address } from "./api.js";
import { family, moved } from "./answers.js";
import { cover } from "./covers.js";
import { h } from "./dom.js";
import { capital, fixed } from "./format.js";
import { player } from "./players.js";

const EAGER = 8; // cards whose pictures are asked for at once
const SHOWN = 3; // sources that are seen without opening anything

/** item: of an answer. listed: the same as lists show it. action: what a click on its picture does, in words. */
export function card(item, listed, { change, action, act }) {
  const title = item.title ?? item.item_id;
  const sources = [...item.sources].sort((one, other) => one.rank - other.rank);
  return h(
    "li",
    { class: "card", "data-item": item.item_id },
    h(
      "div",
      { class: "stage-cover" },
      h(
        "button",
        { type: "button", class: "cover", "aria-label": `${action}: ${title}`, onclick: () => act(item) },
        cover(item.item_id, title, listed, { eager: item.rank <= EAGER }),
      ),
      h("span", { class: "rank", "aria-hidden": "true" }, String(item.rank)),
      listed?.audio && player(item.item_id, title),
    ),
    moved(change),
    h(
      "div",
      { class: "card-body" },
      h("a", { class: "card-title", href: address(item.item_id) }, title),
      listed?.categories.length > 0 && h("div", { class: "chips" }, listed.categories.slice(0, 3).map((name) => h("span", { class: "chip" }, name))),
      item.reasons[0] && h("p", { class: "why" }, capital(item.reasons[0])),
      h(
        "p",
        { class: "facts" },
        h("span", {}, "score ", h("b", {}, fixed(item.score, 2))),
        h("span", {}, "propensity ", h("b", {}, fixed(item.propensity, item.propensity < 0.01 ? 4 : 2))),
      ),
      h("div", { class: "chips" }, chips(sources)),
      details(item, sources),
    ),
  );
}

function details(item, sources) {
  return h(
    "details",
    {},
    h("summary", {}, "Why this", h("span", { class: "visually-hidden" }, `: ${item.title ?? item.item_id}`)),
    item.reasons.length > 0 && [h("p", { class: "head" }, "Reasons"), h("ul", { class: "plain" }, item.reasons.map((text) => h("li", {}, capital(text))))],
    h("p", { class: "head" }, `Found by ${sources.length} generator${sources.length === 1 ? "" : "s"}`),
    h(
      "ul",
      { class: "sources" },
      sources.map(({ generator, rank }) =>
        h(
          "li",
          { "data-family": family(generator) },
          h("span", {}, generator),
          h("span", { class: "track", "aria-hidden": "true", "data-family": family(generator) }, h("span", { vars: { "--share": String(1 / Math.sqrt(rank)) } })),
          h("span", { class: "num" }, `#${rank}`),
        ),
      ),
    ),
    item.rules.length > 0 && [h("p", { class: "head" }, "Rules"), h("ul", { class: "plain" }, item.rules.map((text) => h("li", {}, text)))],
  );
}

/** The best of an item's sources, which are in the order of their ranks. */
function chips(sources) {
  return sources.slice(0, SHOWN).map(({ generator, rank }) => h("span", { class: "chip source", "data-family": family(generator) }, `${generator} #${rank}`));
}
