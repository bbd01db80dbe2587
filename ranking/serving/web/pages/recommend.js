// Recommendations for a user, a session or nobody; a click on an item is an event, after which the list is asked again.

import { choices, listed, post } from "../api.js";
import { movement, notes, refusal, times } from "../answers.js";
import { card } from "../cards.js";
import { announce, h, still, toast } from "../dom.js";
import { showFaults, somebody, surroundings, who, wishes } from "../form.js";
import { plural } from "../format.js";
import { silence } from "../players.js";
import { remember } from "../router.js";
import { fromQuery, toBody, toQuery, whom, wishesTo } from "../request.js";

const WAITING = 8; // grey cards while the first list is on its way

export async function show(main, { query, signal }) {
  document.title = "Recommend · Trichord";
  const request = fromQuery(query);
  const form = h("form", { onsubmit: (event) => event.preventDefault() });
  const narrow = matchMedia("(max-width: 900px)").matches;
  const panel = h("aside", { class: "panel", "aria-label": "Request" }, form);
  const title = h("h1", { tabindex: "-1" }, "Recommendations");
  const about = h("p", { class: "muted" }, "\u00a0");
  const told = h("div", { class: "times" });
  const messages = h("div", { class: "field" });
  const toolbar = h("div", { class: "toolbar" });
  const list = h("ol", { class: "cards", "aria-label": "Recommended items" }, Array.from({ length: WAITING }, () => h("li", { class: "skeleton", "aria-hidden": "true" })));
  main.append(
    h(
      "div",
      { class: "with-panel" },
      panel,
      h("section", { "aria-label": "Recommendations" }, h("div", { class: "answer" }, h("div", {}, title, about), told), messages, toolbar, list),
    ),
  );
  signal.addEventListener("abort", silence);

  let answer; // the last one
  let asking = new AbortController();
  let kind, value;

  try {
    const known = await choices();
    if (signal.aborted) return;
    if (await somebody(request)) remember(addressOf(request), { replace: true });
    const chooser = who(request, () => changed());
    form.append(chooser.element, await surroundings(request, () => changed(), { open: !narrow }), wishes(request, () => changed()));
    toolbar.append(...events(known.kinds));
    await ask();

    function events(kinds) {
      kind = kinds.find(({ positive }) => positive) ?? kinds[0];
      value = kind.positive_from;
      const number = h("input", { type: "number", step: "0.5", "aria-label": "Value of the event", onchange: (event) => (value = Number(event.target.value)) });
      const showValue = () => {
        number.hidden = value === null;
        number.value = value ?? "";
      };
      showValue();
      return [
        h("label", { for: "kind" }, "A click on a picture sends"),
        h(
          "select",
          {
            id: "kind",
            onchange: (event) => {
              kind = kinds.find(({ name }) => name === event.target.value);
              value = kind.positive_from;
              showValue();
              draw();
            },
          },
          kinds.map(({ name, positive }) => h("option", { value: name, selected: name === kind.name }, positive ? `${name} (liked)` : name)),
        ),
        number,
      ];
    }

    function changed() {
      remember(addressOf(request));
      ask({ fresh: true });
    }

    /** fresh: another request, so nothing is said to have moved. */
    async function ask({ fresh = false } = {}) {
      asking.abort();
      asking = new AbortController();
      signal.addEventListener("abort", () => asking.abort());
      list.setAttribute("aria-busy", "true");
      try {
        const waiting = (why) => messages.replaceChildren(h("p", { class: "notice" }, why));
        const found = await post("/v1/recommendations", toBody(request), { signal: asking.signal, waiting });
        await listed(found.items.map(({ item_id: id }) => id), { signal: asking.signal });
        const before = fresh ? undefined : answer;
        answer = { ...found, changes: before && movement(found.items, before.items), whom: whom(request) };
        showFaults(form);
        await draw();
        announce(summary(answer));
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.faults === undefined) throw error;
        messages.replaceChildren(refusal(error));
        showFaults(form, error, request.rules);
        announce(`Not answered: ${error.message}`);
        if (!answer) {
          list.replaceChildren();
          toolbar.hidden = true;
        }
      } finally {
        list.removeAttribute("aria-busy");
      }
    }

    async function draw() {
      if (!answer) return;
      const shown = await listed(answer.items.map(({ item_id: id }) => id));
      const from = new Map([...list.children].map((one) => [one.dataset.item, one.getBoundingClientRect()]));
      const focused = document.activeElement?.closest?.("[data-item]")?.dataset.item;
      title.textContent = `For ${answer.whom}`;
      about.textContent = `${plural(answer.items.length, "item")} from release ${answer.release}`;
      told.replaceChildren(...times(answer.timings_ms).childNodes);
      messages.replaceChildren(...notes(answer));
      const action = request.mode === "user" ? `Send ${kind.name}` : "Add to the session";
      const cards = answer.items.map((item) => card(item, shown.get(item.item_id), { change: answer.changes?.get(item.item_id), action, act }));
      toolbar.hidden = request.mode !== "user";
      list.replaceChildren(...(cards.length ? cards : [h("li", { class: "empty" }, "Nothing is left to recommend.")]));
      if (focused) (list.querySelector(`[data-item="${CSS.escape(focused)}"] .cover`) ?? title).focus({ preventScroll: true });
      if (answer.changes) slide(list, from);
    }

    async function act(item) {
      const name = item.title ?? item.item_id;
      if (request.mode !== "user") {
        request.mode = "session";
        request.session = [...request.session, item.item_id];
        form.querySelector('input[value="session"]').checked = true;
        chooser.show();
        remember(addressOf(request));
        toast(`${name} is part of the session.`);
        return ask();
      }
      const event = { user_id: request.user, item_id: item.item_id, kind: kind.name, request_id: answer.request_id, position: item.rank - 1, propensity: item.propensity };
      if (value !== null) event.value = value;
      if (request.device) event.device = request.device;
      if (request.place) event.place = request.place;
      try {
        const receipt = await post("/v1/events", event, { signal });
        toast(receipt.fallbacks.length ? `${kind.name} on ${name} is kept; features follow later.` : `${kind.name} on ${name} is sent.`);
        await ask();
      } catch (error) {
        if (error.name === "AbortError") return;
        toast(error.message, "bad");
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error.faults === undefined) throw error;
    list.replaceChildren();
    messages.replaceChildren(refusal(error));
  }
}

const addressOf = (request) => wishesTo(request, toQuery(request));

function summary({ items, changes, timings_ms: timings }) {
  const texts = [`${plural(items.length, "item")}, ${Math.round(timings.total)} milliseconds`];
  if (changes) {
    const all = [...changes.values()];
    texts.push(
      `${all.filter(({ by }) => by === null).length} new`,
      `${all.filter(({ by }) => by > 0).length} further up`,
      `${all.filter(({ by }) => by < 0).length} further down`,
    );
  }
  return `List updated: ${texts.join(", ")}.`;
}

/** Let the cards that were there before slide from where they stood. */
function slide(list, from) {
  if (still()) return;
  for (const one of list.children) {
    const before = from.get(one.dataset.item);
    const now = one.getBoundingClientRect();
    const frames = before
      ? [{ transform: `translate(${before.x - now.x}px, ${before.y - now.y}px)` }, { transform: "none" }]
      : [{ opacity: 0, transform: "scale(0.96)" }, { opacity: 1, transform: "none" }];
    one.animate(frames, { duration: 320, easing: "cubic-bezier(0.2, 0, 0, 1)" });
  }
}
