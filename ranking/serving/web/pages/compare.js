// The same request, answered in two ways: by two releases, or with two sets of wishes.

import { address, choices, listed, post } from "../api.js";
import { family, movement, moved, notes, refusal, times } from "../answers.js";
import { cover } from "../covers.js";
import { announce, h } from "../dom.js";
import { showFaults, somebody, surroundings, who, wishes } from "../form.js";
import { date, fixed, plural } from "../format.js";
import { remember } from "../router.js";
import { fromQuery, toBody, toQuery, whom, wishesFrom, wishesTo } from "../request.js";

const SIDES = ["a", "b"];

export async function show(main, { query, signal }) {
  document.title = "Compare · Trichord";
  const request = fromQuery(query);
  const wanted = Object.fromEntries(SIDES.map((side) => [side, wishesFrom(query, `${side}.`)]));
  const title = h("h1", { tabindex: "-1" }, "Compare");
  const about = h("p", { class: "muted" }, "The same request, answered in two ways.");
  const form = h("form", { onsubmit: (event) => event.preventDefault() });
  const agreement = h("dl", { class: "agreement surface", "aria-label": "Agreement" }, stat("Overlap", "–"), stat("Same place", "–"), stat("Moved by, on average", "–"));
  const versus = h("div", { class: "versus" });
  main.append(
    h(
      "div",
      { class: "with-panel" },
      h("aside", { class: "panel", "aria-label": "Request" }, form),
      h("section", { "aria-label": "Answers" }, title, about, h("div", { class: "field" }, agreement), versus),
    ),
  );
  let asking = new AbortController();

  try {
    const known = await choices();
    if (signal.aborted) return;
    await somebody(request);
    const sides = SIDES.map((name) => column(name, wanted[name], known.releases));
    versus.append(...sides.map(({ element }) => element));
    const narrow = matchMedia("(max-width: 900px)").matches;
    form.append(who(request, changed).element, await surroundings(request, changed, { open: !narrow }));
    await ask();

    function changed() {
      const next = toQuery(request);
      for (const name of SIDES) wishesTo(wanted[name], next, `${name}.`);
      remember(next);
      ask();
    }

    function column(name, mine, releases) {
      const id = `release-${name}`;
      const status = h("div", { class: "status" });
      const list = h("ol", { class: "list", "aria-label": `Answer ${name.toUpperCase()}` });
      const controls = h("div", { "aria-label": `Wishes of ${name.toUpperCase()}`, role: "group" }, wishes(mine, changed, { open: !narrowed() && name === "b" && releases.length < 2 }));
      const element = h(
        "section",
        { class: "surface side", "aria-label": `Answer ${name.toUpperCase()}` },
        h(
          "header",
          {},
          h("label", { for: id }, `${name.toUpperCase()} · release`),
          h(
            "select",
            { id, onchange: (event) => ((mine.release = event.target.value), changed()) },
            h("option", { value: "" }, "The current one"),
            releases.map((one) => h("option", { value: one.id, selected: one.id === mine.release }, `${one.id}, of ${date(one.created_at)}${one.current ? " (current)" : ""}`)),
          ),
        ),
        h("div", { class: "panel-part" }, controls),
        status,
        list,
      );
      return { name, mine, element, controls, status, list };
    }

    /** One after the other: a server holds one release beside the current one. */
    async function ask() {
      asking.abort();
      asking = new AbortController();
      signal.addEventListener("abort", () => asking.abort());
      title.textContent = `Compare for ${whom(request)}`;
      const answers = [];
      for (const side of sides) {
        side.list.setAttribute("aria-busy", "true");
        try {
          const waiting = (why) => side.status.replaceChildren(h("p", { class: "muted" }, why));
          const body = toBody({ ...request, ...side.mine });
          const found = await post("/v1/recommendations", body, { signal: asking.signal, waiting });
          await listed(found.items.map(({ item_id: id }) => id), { signal: asking.signal });
          side.status.replaceChildren(times(found.timings_ms), ...notes(found));
          showFaults(side.controls);
          answers.push(found);
        } catch (error) {
          if (error.name === "AbortError") return;
          if (error.faults === undefined) throw error;
          side.status.replaceChildren(refusal(error));
          showFaults(side.controls, error, side.mine.rules);
          answers.push(undefined);
        } finally {
          side.list.removeAttribute("aria-busy");
        }
      }
      await draw(answers);
    }

    async function draw(answers) {
      for (const [place, side] of sides.entries()) {
        const answer = answers[place];
        const other = answers[1 - place];
        const shown = await listed(answer?.items.map(({ item_id: id }) => id) ?? []);
        const changes = answer && other && movement(answer.items, other.items);
        side.list.replaceChildren(...(answer?.items ?? []).map((item) => row(item, shown.get(item.item_id), changes?.get(item.item_id), side.name)));
      }
      const [a, b] = answers;
      if (!a || !b) return agreement.replaceChildren(stat("Overlap", "–"), stat("Same place", "–"), stat("Moved by, on average", "–"));
      const both = [...movement(b.items, a.items).values()].filter(({ by }) => by !== null);
      const k = Math.max(a.items.length, b.items.length, 1);
      const mean = both.length ? both.reduce((sum, { by }) => sum + Math.abs(by), 0) / both.length : 0;
      const same = both.filter(({ by }) => by === 0).length;
      agreement.replaceChildren(
        stat(`Overlap@${k}`, `${both.length} of ${k}`, `${Math.round((100 * both.length) / k)} % of the items`),
        stat("Same place", String(same), `of ${plural(both.length, "common item")}`),
        stat("Moved by, on average", both.length ? fixed(mean, 1) : "–", "places, of those in both"),
      );
      announce(`${both.length} of ${k} items are in both lists, ${same} at the same place.`);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error.faults === undefined) throw error;
    versus.replaceChildren(refusal(error));
  }
}

const narrowed = () => matchMedia("(max-width: 620px)").matches;

function row(item, shown, change, side) {
  const title = item.title ?? item.item_id;
  const best = [...item.sources].sort((one, other) => one.rank - other.rank)[0];
  return h(
    "li",
    {},
    h("span", { class: "place" }, String(item.rank)),
    h("span", { class: "cover square" }, cover(item.item_id, title, shown)),
    h(
      "div",
      {},
      h("a", { href: address(item.item_id), title }, title),
      h("p", { class: "small muted" }, best ? h("span", { class: "chip source", "data-family": family(best.generator) }, `${best.generator} #${best.rank}`) : item.item_id),
    ),
    change ? moved(change, `only ${side.toUpperCase()}`) : h("span"),
  );
}

const stat = (label, value, note = "\u00a0") => h("div", {}, h("dt", { class: "muted small" }, label), h("dd", {}, h("b", {}, value)), h("dd", { class: "muted small" }, note));
