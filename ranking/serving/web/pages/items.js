// All items: search, the popular ones, the new ones.

import { address, get } from "../api.js";
import { refusal } from "../answers.js";
import { cover } from "../covers.js";
import { announce, debounced, h } from "../dom.js";
import { plural } from "../format.js";
import { player, silence } from "../players.js";
import { remember } from "../router.js";

const SHOWN = 60;

export async function show(main, { query, signal }) {
  document.title = "Items · Trichord";
  const asked = { search: query.get("search") ?? "", order: query.get("order") === "newest" ? "newest" : "popular" };
  const list = h("ol", { class: "cards", "aria-label": "Items" });
  const changed = (key) => (event) => {
    asked[key] = event.target.value;
    const next = new URLSearchParams();
    if (asked.search) next.set("search", asked.search);
    if (asked.order !== "popular") next.set("order", asked.order);
    remember(next, { replace: true });
    fill();
  };
  main.append(
    h("h1", { tabindex: "-1" }, "Items"),
    h(
      "form",
      { class: "toolbar", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "search" }, "Title or id"),
      h("input", { id: "search", type: "search", value: asked.search, oninput: debounced(changed("search"), 150) }),
      h("label", { for: "order" }, "Order"),
      h(
        "select",
        { id: "order", onchange: changed("order") },
        h("option", { value: "popular", selected: asked.order === "popular" }, "Most events"),
        h("option", { value: "newest", selected: asked.order === "newest" }, "Newest"),
      ),
    ),
    list,
  );
  signal.addEventListener("abort", silence);
  let last = 0;

  async function fill() {
    const mine = ++last;
    try {
      const { items } = await get(`/v1/items?${new URLSearchParams({ ...asked, limit: SHOWN })}`, { signal });
      if (mine !== last) return;
      list.replaceChildren(...items.map(tile));
      if (!items.length) list.append(h("li", { class: "empty" }, "No title or id holds this text."));
      announce(`${plural(items.length, "item")} shown`);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.faults === undefined) throw error;
      list.replaceChildren(h("li", {}, refusal(error)));
    }
  }

  await fill();
}

function tile(item, place) {
  const title = item.title ?? item.item_id;
  return h(
    "li",
    { class: "card" },
    h(
      "div",
      { class: "stage-cover" },
      h("a", { class: "cover", href: address(item.item_id), tabindex: "-1", "aria-hidden": "true" }, cover(item.item_id, title, item, { eager: place < 8 })),
      item.audio && player(item.item_id, title),
    ),
    h(
      "div",
      { class: "card-body" },
      h("a", { class: "card-title", href: address(item.item_id) }, title),
      h("div", { class: "chips" }, item.categories.slice(0, 3).map((name) => h("span", { class: "chip" }, name))),
      h("p", { class: "facts" }, plural(item.events, "event")),
    ),
  );
}
