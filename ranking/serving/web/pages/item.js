// One item: what is known of it, and what lies near it by each modality.

import { address, choices, get, listed } from "../api.js";
import { refusal } from "../answers.js";
import { cover } from "../covers.js";
import { h } from "../dom.js";
import { capital, count, date, fixed, words } from "../format.js";
import { controls } from "../players.js";

const NEIGHBOURS = 14;
const WAITING = 6;

const SHELVES = {
  all: ["Near in everything", "What the gates make of all modalities together"],
  text: ["Reads alike", "By text alone"],
  image: ["Looks alike", "By picture alone"],
  audio: ["Sounds alike", "By sound alone"],
  behaviour: ["Has a like audience", "By behaviour, predicted where there is none yet"],
};

export async function show(main, { id, signal }) {
  document.title = `${id} · Trichord`;
  const hero = h("div", { class: "hero" }, h("div", { class: "cover square skeleton" }), h("div", {}, h("h1", { tabindex: "-1" }, id)));
  main.append(hero);
  try {
    const [item, { modalities }] = await Promise.all([get(`/v1/items/${encodeURIComponent(id)}`, { signal }), choices()]);
    const title = item.title ?? item.item_id;
    document.title = `${title} · Trichord`;
    hero.replaceChildren(h("div", { class: "cover square" }, cover(item.item_id, title, item, { eager: true })), about(item, title));
    const order = Object.keys(SHELVES).filter((by) => modalities.includes(by));
    const shelves = order.map((by) => shelf(by));
    main.append(...shelves.map(({ element }) => element));
    await Promise.all(shelves.map(({ fill }) => fill(item, signal)));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.faults === undefined) throw error;
    hero.replaceChildren(h("div", {}, h("h1", { tabindex: "-1" }, id), refusal(error), h("p", { class: "field" }, h("a", { href: "/items" }, "All items"))));
  }
}

function about(item, title) {
  const told = Object.entries(item.attributes).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
  return h(
    "div",
    {},
    h("p", { class: "muted small" }, h("a", { href: "/items" }, "Items"), " / ", h("span", { class: "mono" }, item.item_id)),
    h("h1", { tabindex: "-1" }, title),
    h("div", { class: "chips field" }, item.categories.map((name) => h("span", { class: "chip" }, name))),
    item.description && h("p", { class: "text" }, item.description),
    item.audio && controls(item.item_id, title),
    h(
      "dl",
      { class: "attributes" },
      h("dt", {}, "Events"),
      h("dd", {}, count(item.events)),
      item.created_at && [h("dt", {}, "Since"), h("dd", {}, date(item.created_at))],
      told.map(([name, value]) => [h("dt", {}, capital(words(name))), h("dd", {}, Array.isArray(value) ? value.join(", ") : String(value))]),
    ),
    h("p", { class: "row field" }, h("a", { class: "button primary", href: `/?${new URLSearchParams({ who: "session", item: item.item_id })}` }, "Recommend from this item")),
  );
}

function shelf(by) {
  const [title, note] = SHELVES[by];
  const label = `shelf-${by}`;
  const list = h("ul", { tabindex: "0", role: "list", "aria-labelledby": label }, Array.from({ length: WAITING }, () => h("li", { class: "skeleton", "aria-hidden": "true" })));
  const element = h("section", { class: "shelf", "aria-labelledby": label }, h("div", { class: "row" }, h("h2", { id: label }, title), h("span", { class: "muted small" }, note)), list);

  async function fill(item, signal) {
    if (!item.modalities.includes(by)) return list.replaceWith(h("p", { class: "notice field" }, `This item has no ${by} to ask by.`));
    try {
      const found = await get(`/v1/items/${encodeURIComponent(item.item_id)}/similar?${new URLSearchParams({ by, k: NEIGHBOURS })}`, { signal });
      const shown = await listed(found.items.map((one) => one.item_id), { signal });
      list.replaceChildren(...found.items.map((one) => neighbour(one, shown.get(one.item_id))));
      if (found.asked) list.before(h("p", { class: "muted small" }, `It has no ${by} of its own: asked by its ${found.asked}.`));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.faults === undefined) throw error;
      list.replaceWith(h("p", { class: "notice field" }, error.message));
    }
  }

  return { element, fill };
}

function neighbour(item, shown) {
  const title = item.title ?? item.item_id;
  return h(
    "li",
    {},
    h("a", { href: address(item.item_id) }, h("span", { class: "cover square" }, cover(item.item_id, title, shown)), title),
    h("p", { class: "facts" }, `cosine ${fixed(item.score, 2)}`),
  );
}
