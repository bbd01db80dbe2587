// The state of a deployment: evaluation, freshness, suites, releases, traffic.

import { get } from "../api.js";
import { refusal } from "../answers.js";
import { forest, onResize, sparkline, table } from "../charts.js";
import { announce, h } from "../dom.js";
import { count, duration, fixed, moment, ms, percent, plural, words } from "../format.js";
import { remember } from "../router.js";

const ORACLE = "oracle"; // knows a planted world's truth

export async function show(main, { query, signal }) {
  document.title = "Dashboard · Trichord";
  const body = h("div", { "aria-busy": "true" }, h("div", { class: "skeleton" }));
  const renew = h("button", { type: "button", class: "button small", onclick: () => fill(true) }, "Refresh");
  main.append(h("div", { class: "row between" }, h("h1", { tabindex: "-1" }, "Dashboard"), renew), body);

  async function fill(again = false) {
    try {
      const state = await get("/v1/dashboard", { signal });
      const chosen = new URLSearchParams(location.search).get("protocol") ?? query.get("protocol");
      body.replaceChildren(...tiles(state), h("div", { class: "boards" }, evaluation(state, chosen), traffic(state.traffic), shadow(state.shadow), freshness(state), suites(state.suites), releases(state)));
      if (again) announce("The dashboard is up to date.");
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.faults === undefined) throw error;
      body.replaceChildren(refusal(error));
    } finally {
      body.removeAttribute("aria-busy");
    }
  }

  onResize(() => fill(), signal);
  await fill();
}

function tiles({ evaluation, freshness, suites, traffic, refused }) {
  const first = evaluation?.protocols[0];
  const hybrid = first?.models.find(({ model }) => model === "hybrid");
  const total = traffic.stages.find(({ stage }) => stage === "total");
  const late = freshness.filter(({ ok }) => !ok).length;
  const failed = suites.filter(({ passed }) => !passed).length;
  const lift = first?.lift;
  const tile = (name, value, note) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "note" }, note));
  return [
    refused ? h("p", { class: "notice bad field" }, h("b", {}, "A newer release is not served. "), refused) : "",
    h(
      "dl",
      { class: "tiles" },
      tile("NDCG@10", hybrid ? fixed(hybrid.ndcg) : "–", hybrid ? `hybrid, protocol ${first.name}` : "not evaluated yet"),
      tile("Over the baseline", lift?.relative != null ? percent(lift.relative) : "–", lift ? `${lift.baseline}, best in validation` : "\u00a0"),
      tile("Answer, median", total ? ms(total.p50) : "–", total ? `p99 ${ms(total.p99)}` : "no request yet"),
      tile("Requests", count(traffic.requests), `since ${moment(traffic.since)}`),
      tile("Feature views", freshness.length ? `${freshness.length - late} of ${freshness.length}` : "–", late ? `${late} behind` : "are fresh"),
      tile("Suites", suites.length ? `${suites.length - failed} of ${suites.length}` : "–", failed ? `${failed} failed` : "passed"),
    ),
  ];
}

function evaluation({ evaluation: found, evaluation_fault: fault }, chosen) {
  const board = h("section", { class: "surface wide", "aria-labelledby": "evaluation" }, h("h2", { id: "evaluation" }, "Offline evaluation"));
  if (!found) {
    board.append(
      fault
        ? h("p", { class: "notice bad field" }, fault)
        : h("p", { class: "empty" }, "This release was not evaluated yet. ", h("span", { class: "mono" }, "trichord run"), " evaluates every release that it builds."),
    );
    return board;
  }
  const place = h("div", {});
  const draw = (name) => place.replaceChildren(protocol(found.protocols.find((one) => one.name === name)));
  const first = found.protocols.find(({ name }) => name === chosen) ?? found.protocols[0];
  if (!first) {
    board.append(h("p", { class: "empty" }, "No protocol had users to ask."));
    return board;
  }
  board.append(
    h(
      "fieldset",
      { class: "tabs segments field" },
      h("legend", { class: "visually-hidden" }, "Protocol"),
      found.protocols.map(({ name }) =>
        h(
          "label",
          {},
          h("input", {
            type: "radio",
            name: "protocol",
            value: name,
            checked: name === first.name,
            onchange: () => {
              remember(new URLSearchParams({ protocol: name }));
              draw(name);
            },
          }),
          h("span", {}, name.toUpperCase()),
        ),
      ),
    ),
    place,
  );
  draw(first.name);
  return board;
}

function protocol({ rule, users, items, cold_item_share: cold, models, lift, slices, ablation }) {
  const ndcg = (value) => fixed(value, 3);
  const interval = (ci, say = ndcg) => (ci ? `${say(ci[0])} to ${say(ci[1])}` : "–");
  const kindOf = (model) => (model === "hybrid" ? "hybrid" : model === ORACLE ? "ceiling" : "");
  const scored = models.map(({ model, ndcg: value, ci95: [low, high] }) => ({ label: words(model), value, low, high, text: ndcg(value), kind: kindOf(model) }));
  const marked = ({ ndcg: value, ci95: [low, high] }) => ({ value, low, high });
  const split = slices.map(({ name, hybrid, baseline }) => ({
    label: words(name),
    ...marked(hybrid),
    second: marked(baseline),
    text: `${ndcg(hybrid.ndcg)} / ${ndcg(baseline.ndcg)}`,
    kind: "hybrid",
  }));
  const parts = ablation.map(({ part, relative, ci95: ci }) => ({
    label: `without ${part}`,
    value: relative,
    low: ci?.[0] ?? null,
    high: ci?.[1] ?? null,
    text: relative === null ? "–" : percent(relative),
    kind: !ci ? "" : ci[1] < 0 ? "helps" : ci[0] > 0 ? "hurts" : "",
  }));
  const gained = lift?.relative != null && `Hybrid over ${lift.baseline}: ${percent(lift.relative)}${lift.ci95 ? `, 95 % interval ${interval(lift.ci95, percent)}` : ""}. `;
  const rank = h(
    "div",
    {},
    h("h3", {}, "NDCG@10 of every model, with 95 % intervals over users"),
    forest(scored, { label: `NDCG@10 by model; best is ${models[0]?.model}. A table follows.`, say: ndcgTick }),
    h("p", { class: "legend" }, h("span", { class: "hybrid" }, "hybrid"), h("span", {}, "tuned baseline"), models.some(({ model }) => model === ORACLE) && h("span", { class: "ceiling" }, "oracle: knows the planted truth")),
    numbers("NDCG@10 of every model", ["Model", "NDCG@10", "95 % interval"], models.map(({ model, ndcg: value, ci95 }) => [words(model), ndcg(value), interval(ci95)])),
  );
  const added = h(
    "div",
    {},
    h("h3", {}, "What each part adds: change of NDCG@10 without it"),
    forest(parts, { label: "Relative change of NDCG@10 without each part. A table follows.", say: (value) => percent(value, 0), zero: true }),
    h("p", { class: "legend" }, h("span", { class: "helps" }, "the part helps"), h("span", {}, "no clear difference"), h("span", { class: "hurts" }, "it does harm")),
    numbers("Change of NDCG@10 without each part", ["Part", "Change", "95 % interval"], ablation.map(({ part, relative, ci95 }) => [part, relative === null ? "–" : percent(relative), interval(ci95, percent)])),
  );
  const sliced = h(
    "div",
    {},
    h("h3", {}, "Slices: the hybrid above the best baseline there"),
    forest(split, { label: "NDCG@10 by slice. A table follows.", say: ndcgTick }),
    h("p", { class: "legend" }, h("span", { class: "hybrid" }, "hybrid"), h("span", {}, "best baseline of the slice")),
    numbers(
      "NDCG@10 by slice",
      ["Slice", "Hybrid", "Interval", "Best baseline", "NDCG@10", "Users"],
      slices.map(({ name, hybrid, baseline }) => [words(name), ndcg(hybrid.ndcg), interval(hybrid.ci95), baseline.model, ndcg(baseline.ndcg), count(hybrid.users)]),
    ),
  );
  return h(
    "div",
    {},
    h("p", { class: "muted small field" }, `Split: ${words(rule)}. ${plural(users, "user")}, ${plural(items, "item")}; ${Math.round(cold * 100)} % of what is relevant is cold. `, gained),
    h("div", { class: "boards" }, rank, h("div", { class: "stacked" }, ablation.length > 0 && added, slices.length > 0 && sliced)),
  );
}

const ndcgTick = (value) => fixed(value, 2);

const numbers = (caption, names, rows) =>
  h("details", {}, h("summary", {}, "Numbers", h("span", { class: "visually-hidden" }, `: ${caption}`)), table(caption, names.map((name, place) => ({ name, number: place > 0 })), rows));

function traffic(seen) {
  const board = h("section", { class: "surface", "aria-labelledby": "traffic" }, h("h2", { id: "traffic" }, "Traffic since the start"));
  if (!seen.requests) board.append(h("p", { class: "empty" }, "No request yet. ", h("a", { href: "/" }, "Ask for recommendations")));
  else {
    const most = Math.max(...seen.latest_ms);
    const without = Object.entries(seen.fallbacks).map(([name, n]) => `${words(name)} ${count(n)}`);
    board.append(
      h("p", { class: "muted small" }, `Milliseconds of the latest ${plural(seen.latest_ms.length, "request")}, up to ${ms(most)}`),
      sparkline(seen.latest_ms, { label: `Milliseconds of the latest requests, up to ${ms(most)}` }),
      table("Milliseconds a stage", [{ name: "Stage" }, { name: "p50", number: true }, { name: "p99", number: true }], seen.stages.map(({ stage, p50, p99 }) => [stage, fixed(p50, 2), fixed(p99, 2)])),
      h("p", { class: "small field" }, `Fallbacks: ${without.join(", ") || "none"}`),
    );
  }
  board.append(h("p", { class: "small" }, `Events: ${count(seen.events_accepted)} accepted, ${count(seen.events_rejected)} rejected, ${count(seen.events_duplicate)} sent twice`));
  return board;
}

function shadow(seen) {
  if (!seen) return "";
  const { live, shadow: other } = seen;
  const without = ({ fallbacks }) => Object.entries(fallbacks).map(([name, n]) => `${words(name)} ${count(n)}`).join(", ") || "none";
  const time = (value) => (value === null ? "–" : fixed(value, 2));
  return h(
    "section",
    { class: "surface", "aria-labelledby": "shadow" },
    h("h2", { id: "shadow" }, "Shadow release"),
    seen.fault && h("p", { class: "notice bad field" }, seen.fault),
    seen.compared > 0
      ? table(
          `Overlap@k of both lists: ${fixed(seen.overlap, 3)}`,
          [{ name: "Release" }, { name: "p50, ms", number: true }, { name: "p99, ms", number: true }, { name: "Fallbacks", number: true }],
          [live, other].map((side) => [h("span", { class: "mono" }, side.release), time(side.p50_ms), time(side.p99_ms), without(side)]),
        )
      : h("p", { class: "empty" }, "No answer is compared yet."),
    h("p", { class: "small" }, `${count(seen.compared)} compared, ${count(seen.dropped)} dropped, ${count(seen.loading)} while loading, ${count(seen.failed)} failed; ${Math.round(seen.share * 100)} % of the requests`),
  );
}

const state = (good, text, otherwise) => h("span", { class: `state ${good ? "good" : "bad"}` }, h("span", { "aria-hidden": "true" }, good ? "✓" : "✗"), good ? text : otherwise);

function freshness({ freshness: views, freshness_fault: fault }) {
  return h(
    "section",
    { class: "surface", "aria-labelledby": "freshness" },
    h("h2", { id: "freshness" }, "Feature freshness"),
    fault && h("p", { class: "notice bad field" }, fault),
    views.length > 0
      ? table(
          "How far each view is behind the data's clock",
          [{ name: "View" }, { name: "Newest row", number: true }, { name: "Behind", number: true }, { name: "State", number: true }],
          views.map(({ view, age_s: age, lag_s: lag, online, ok }) => [
            view,
            age === null ? "–" : age < 1 ? "now" : `${duration(age)} old`,
            lag === null ? "never put online" : lag < 1 ? "0 s" : duration(lag),
            state(ok, "fresh", online ? "behind" : "not online"),
          ]),
        )
      : !fault && h("p", { class: "empty" }, "No view is registered."),
  );
}

function suites(found) {
  const rows = ({ rows: n, expectations }) => (n === null ? "" : `${plural(n, "row")}, ${plural(expectations, "check")}`);
  return h(
    "section",
    { class: "surface wide", "aria-labelledby": "suites" },
    h("h2", { id: "suites" }, "Validation suites"),
    found.length
      ? h(
          "ul",
          { class: "suites" },
          found.map((suite) =>
            h(
              "li",
              { class: suite.passed ? "" : "failed" },
              h("div", {}, h("b", {}, words(suite.name)), h("div", { class: "muted small" }, rows(suite))),
              state(suite.passed, "passed", "failed"),
              suite.failed.length > 0 && h("ul", { class: "small" }, suite.failed.map((text) => h("li", {}, text))),
            ),
          ),
        )
      : h("p", { class: "empty" }, "No suite has checked this release's data."),
  );
}

function releases({ releases: all, history }) {
  const protocols = [...new Set(all.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  return h(
    "section",
    { class: "surface wide", "aria-labelledby": "releases" },
    h("div", { class: "row between" }, h("h2", { id: "releases" }, "Releases"), all.length > 1 && h("a", { href: `/compare?${new URLSearchParams({ "b.release": all.find(({ current }) => !current).id })}` }, "Compare their answers")),
    table(
      "The newest first",
      [{ name: "Release" }, { name: "State" }, { name: "Built" }, { name: "Data until" }, ...protocols.map((name) => ({ name: name.replace(".", " ").toUpperCase(), number: true }))],
      all.map(({ id, current, created_at: built, data_until: until, metrics }) => [
        h("span", { class: "mono" }, id),
        current ? h("span", { class: "state good" }, "current") : h("span", { class: "muted" }, "kept"),
        moment(built),
        moment(until),
        ...protocols.map((name) => (name in metrics ? fixed(metrics[name]) : "–")),
      ]),
    ),
    history.length > 0 && h("h3", { class: "field" }, "History"),
    h("ol", { class: "history" }, [...history].reverse().map(({ at, action, id }) => h("li", {}, h("span", { class: "muted" }, `${moment(at)} · `), action === "promote" ? "promoted " : "rolled back to ", h("span", { class: "mono" }, id)))),
  );
}
