// The controls of a request.

import { choices, get, listed } from "./api.js";
import { freshId, h } from "./dom.js";
import { capital, plural } from "./format.js";
import { picker } from "./picker.js";
import { PARTS, ruleLines } from "./request.js";

/** Choose the most active user for a request that is to be for a user and names none; whether it was so. */
export async function somebody(request) {
  if (request.mode !== "user" || request.user) return false;
  request.user = (await get("/v1/users?limit=1")).users[0]?.user_id ?? "";
  if (!request.user) request.mode = "nobody";
  return true;
}

/** For whom: a user, a session, or nobody. changed: is called after each change of the request. */
export function who(request, changed) {
  const place = h("div", { class: "field" });
  const name = freshId("who");

  function show() {
    place.replaceChildren(...{ user: () => [users()], session: () => [items(), tokens()], nobody: () => [nobody()] }[request.mode]());
  }

  const users = () =>
    picker({
      label: "User",
      name: "user",
      value: request.user,
      placeholder: "Begin to type an id",
      find: async (text) => {
        const query = new URLSearchParams({ prefix: text, limit: 20 });
        const found = await get(`/v1/users?${query}`);
        return found.users.map(({ user_id: id, events }) => ({ value: id, text: id, note: plural(events, "event") }));
      },
      chosen: ({ value }) => {
        request.user = value;
        changed();
      },
    });

  const items = () =>
    picker({
      label: "Add an item",
      name: "item",
      placeholder: "Search titles",
      keep: false,
      find: findItems,
      chosen: ({ value }) => {
        request.session = [...request.session, value];
        show();
        changed();
        place.querySelector("input").focus();
      },
    });

  function tokens() {
    const list = h("ul", { class: "tokens", "aria-label": "Items of the session, the latest last" });
    listed(request.session).then((known) => {
      list.append(
        ...request.session.map((id, at) => {
          const title = known.get(id)?.title ?? id;
          const remove = () => {
            request.session = request.session.filter((_, one) => one !== at);
            show();
            changed();
            place.querySelector("input").focus();
          };
          return h(
            "li",
            { class: "token" },
            h("span", {}, title),
            h("button", { type: "button", "aria-label": `Remove ${title}`, onclick: remove }, "×"),
          );
        }),
      );
    }, () => {});
    return list;
  }

  const nobody = () => h("p", { class: "muted small" }, "Nothing is known: no user, no session. Time, device and place still count.");

  show();
  const element = h(
    "fieldset",
    {},
    h("legend", {}, "For whom"),
    h(
      "div",
      { class: "segments" },
      [["user", "User"], ["session", "Session"], ["nobody", "Nobody"]].map(([mode, text]) =>
        h(
          "label",
          {},
          h("input", {
            type: "radio",
            name,
            value: mode,
            checked: request.mode === mode,
            onchange: () => {
              request.mode = mode;
              show();
              changed();
            },
          }),
          h("span", {}, text),
        ),
      ),
    ),
    place,
  );
  return { element, show };
}

/** Items whose title holds a text, as options of a picker. */
export async function findItems(text) {
  const found = await get(`/v1/items?${new URLSearchParams({ search: text, limit: 20 })}`);
  return found.items.map((item) => ({ value: item.item_id, text: item.title ?? item.item_id, note: item.categories[0] ?? "" }));
}

/** When and where, and how many. */
export async function surroundings(request, changed, { open = true } = {}) {
  const { devices, places } = await choices();
  return h(
    "details",
    { open },
    h("summary", {}, "Context"),
    h(
      "div",
      { class: "field", "data-field": "context.at" },
      h("label", { for: "at" }, "Time (UTC)"),
      h("input", { id: "at", type: "datetime-local", value: request.at, onchange: (event) => set("at", event) }),
      h("p", { class: "hint" }, "Empty: the clock of the data. Only its hour and weekday count."),
    ),
    h("div", { class: "pair field" }, select("device", "Device", devices), select("place", "Place", places)),
    slider({ label: "Items (k)", field: "k", least: 1, most: 50, step: 1, value: request.k, off: null, say: String, changed: (value) => ((request.k = value), changed()) }),
    h(
      "div",
      { class: "field" },
      h(
        "label",
        { class: "check" },
        h("input", { type: "checkbox", checked: request.explain, onchange: (event) => ((request.explain = event.target.checked), changed()) }),
        "Explain by what counted in the ranker",
      ),
    ),
  );

  function set(key, event) {
    request[key] = event.target.value;
    changed();
  }

  function select(key, label, values) {
    const known = request[key] && !values.includes(request[key]) ? [request[key], ...values] : values;
    return h(
      "div",
      { "data-field": `context.${key}` },
      h("label", { for: key }, label),
      h(
        "select",
        { id: key, disabled: !known.length, onchange: (event) => set(key, event) },
        h("option", { value: "" }, known.length ? "Any" : "None known"),
        known.map((one) => h("option", { value: one, selected: request[key] === one }, one)),
      ),
    );
  }
}

/** How to answer: diversity, exploration, weights and rules. wishes: has their values, and is given new ones. */
export function wishes(wishes, changed, { open = false, summary = "Tuning" } = {}) {
  const set = (key) => (value) => {
    wishes[key] = value;
    renew();
  };
  const weight = (part) => (value) => {
    const { [part]: _, ...others } = wishes.weights;
    wishes.weights = value === 1 ? others : { ...others, [part]: value };
    renew();
  };
  const number = h("span", { class: "count", hidden: true });
  const id = freshId("rules");

  function renew(quiet = false) {
    const n = differing(wishes);
    number.hidden = !n;
    number.textContent = `${n} set`;
    if (!quiet) changed();
  }

  renew(true);
  return h(
    "details",
    { open: open || differing(wishes) > 0 },
    h("summary", {}, summary, number),
    slider({ label: "Diversity", field: "diversity", least: 0, most: 1, step: 0.05, value: wishes.diversity, off: 0, changed: set("diversity") }),
    slider({ label: "Exploration", field: "exploration", least: 0, most: 1, step: 0.05, value: wishes.exploration, off: 0, changed: set("exploration") }),
    h("p", { class: "label field" }, "Weights"),
    h(
      "div",
      { class: "pair", "data-field": "weights" },
      PARTS.map((part) => slider({ label: capital(part), field: `weights.${part}`, least: 0, most: 3, step: 0.25, value: wishes.weights[part] ?? 1, off: 1, changed: weight(part) })),
    ),
    h(
      "div",
      { class: "field", "data-field": "rules" },
      h("label", { for: id }, "Rules, one a line"),
      h("textarea", {
        id,
        value: wishes.rules,
        spellcheck: "false",
        placeholder: "cap categories at 2",
        onchange: (event) => set("rules")(event.target.value),
      }),
    ),
  );
}

/** How many wishes are not as they are by default. */
export function differing(wishes) {
  return (
    Number(wishes.diversity > 0) + Number(wishes.exploration > 0) + Object.keys(wishes.weights).length + ruleLines(wishes.rules).length
  );
}

/** off: the value that says nothing. */
function slider({ label, field, least, most, step, value, off, changed, say }) {
  const id = freshId("slider");
  const told = h("output", { for: id });
  const show = (value) => {
    told.textContent = say ? say(value) : value === off ? (off === 0 ? "off" : "×1") : off === 1 ? `×${value}` : value.toFixed(2);
    told.className = off !== null && value !== off ? "set" : "";
  };
  show(value);
  return h(
    "div",
    { class: "field", "data-field": field },
    h("div", { class: "slider-head" }, h("label", { for: id }, label), told),
    h("input", {
      id,
      type: "range",
      min: least,
      max: most,
      step,
      value: String(value),
      oninput: (event) => show(Number(event.target.value)),
      onchange: (event) => changed(Number(event.target.value)),
    }),
  );
}

/** Show each fault at the control that it speaks of; those of a rule with its line and a mark under its column. */
export function showFaults(form, problem, rules = "") {
  for (const old of form.querySelectorAll(".fault")) old.remove();
  for (const old of form.querySelectorAll("[aria-invalid]")) {
    old.removeAttribute("aria-invalid");
    old.removeAttribute("aria-errormessage");
  }
  for (const fault of problem?.faults ?? []) {
    const field = fault.field.replace(/\[(\d+)\].*|\.(\d+)$/, "");
    const place = form.querySelector(`[data-field="${CSS.escape(field)}"]`);
    if (!place) continue;
    const id = freshId("fault");
    place.append(h("div", { class: "fault", id }, inRule(fault, rules), h("p", {}, fault.text)));
    const control = place.querySelector("input, select, textarea");
    control?.setAttribute("aria-invalid", "true");
    control?.setAttribute("aria-errormessage", id);
    place.closest("details")?.setAttribute("open", "");
  }
}

function inRule({ field, column }, rules) {
  const [, index] = /^rules\D(\d+)/.exec(field) ?? [];
  const rule = index === undefined ? undefined : ruleLines(rules)[Number(index)];
  if (!rule) return null;
  const mark = column ? `\n${" ".repeat(column - 1)}^` : "";
  return [h("p", {}, `Line ${rule.line}${column ? `, column ${column}` : ""}`), h("code", {}, rule.text + mark)];
}
