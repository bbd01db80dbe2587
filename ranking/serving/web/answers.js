// What an answer says beside its items: times, fallbacks, problems, and how its list differs from another one.

import { h } from "./dom.js";
import { ms, words } from "./format.js";
import { keyButton } from "./key.js";

const STAGES = ["candidates", "features", "rank", "strategy"];

const FAMILIES = {
  popular: "popularity",
  popular_windowed: "popularity",
  popular_here: "context",
  fitting: "context",
  aligned: "content",
  aligned_recent: "content",
  aligned_session: "content",
  cold_start: "content",
  ease_semantic: "content",
};

/** Which kind of signal a generator reads. */
export const family = (generator) => FAMILIES[generator] ?? "collaborative";

const FALLBACKS = {
  unknown_user: "No event names this user: answered as a newcomer.",
  features: "The feature store did not answer: in the order of the generators' votes.",
  rules: "The house's rules have a fault: answered with those that are good.",
};

/** Milliseconds a stage as one bar, and in words. */
export function times(timings) {
  return h(
    "div",
    { class: "times" },
    h("div", { class: "row between small muted" }, h("span", {}, "Answered in"), h("b", {}, ms(timings.total))),
    h(
      "div",
      { class: "stack", "aria-hidden": "true" },
      STAGES.map((stage) => h("span", { "data-stage": stage, vars: { "--ms": String(timings[stage]) } })),
    ),
    h(
      "ul",
      { "aria-label": "Milliseconds a stage" },
      STAGES.map((stage) => h("li", { "data-stage": stage }, `${stage} ${ms(timings[stage])}`)),
    ),
  );
}

/** What the answer had to do without, and what became of rules that no single item tells of. */
export function notes(answer) {
  const told = answer.fallbacks.map((name) => FALLBACKS[name] ?? `Without: ${words(name)}.`);
  return [
    told.length > 0 && h("div", { class: "notice warn" }, told.map((text) => h("p", {}, text))),
    answer.rules?.length > 0 && h("div", { class: "notice" }, answer.rules.map((text) => h("p", {}, text))),
  ].filter(Boolean);
}

/** What the server refused. */
export function refusal(problem) {
  const others = problem.faults?.filter(({ text }) => text !== problem.message) ?? [];
  return h(
    "div",
    { class: "notice bad" },
    h("p", {}, h("b", {}, "This could not be answered. "), others.length > 1 ? "" : problem.message),
    others.length > 1 && h("ul", {}, others.map(({ text }) => h("li", {}, text))),
    problem.wantsKey && h("p", { class: "field" }, keyButton()),
  );
}

/** Where an item stands against an earlier or another list: "new", or how many places further up. */
export function movement(items, before) {
  const places = new Map(before.map((item) => [item.item_id, item.rank]));
  return new Map(
    items.map(({ item_id: id, rank }) => [id, places.has(id) ? { by: places.get(id) - rank } : { by: null }]),
  );
}

/** A movement as a mark. absent: what is said of an item that the other list lacks. */
export function moved(change, absent = "new") {
  if (!change) return null;
  if (change.by === null) return h("span", { class: "moved new" }, absent);
  if (change.by === 0) return h("span", { class: "moved" }, h("span", { "aria-hidden": "true" }, "= "), "same");
  const up = change.by > 0;
  return h(
    "span",
    { class: `moved ${up ? "up" : "down"}` },
    h("span", { "aria-hidden": "true" }, up ? "▲" : "▼"),
    `${up ? "up" : "down"} ${Math.abs(change.by)}`,
  );
}
