// Charts as SVG, drawn from numbers. Each stands with a table of the same numbers, for those who do not see it.

import { h, s } from "./dom.js";

const NARROW = matchMedia("(max-width: 620px)");
const ROW = 27;
const AXIS = 30;
const TICKS = 5; // about; of a narrow drawing half of them

/**
 * Points with intervals, one row each.
 * rows: [{label, value, low, high, text, kind, second}]; value null where there is none. second: another point below
 * the first, {value, low, high}. label: of the whole.
 */
export function forest(rows, { label, say, zero = false }) {
  const wide = width();
  const known = rows.flatMap((row) => [row, row.second]).filter((one) => one && one.value !== null);
  const bounds = known.flatMap(({ low, high, value }) => [low ?? value, high ?? value]);
  const { least, most, ticks } = scale(Math.min(0, ...bounds), Math.max(0, ...bounds));
  const left = NARROW.matches ? 138 : 170;
  const right = wide - 96;
  const x = (value) => left + ((value - least) / (most - least)) * (right - left);
  const bottom = rows.length * ROW + 8;
  return h(
    "div",
    { class: "plot" },
    s(
      "svg",
      { viewBox: `0 0 ${wide} ${bottom + AXIS}`, role: "img", "aria-label": label },
      ticks.map((tick) => [
        s("line", { class: "grid-line", x1: x(tick), x2: x(tick), y1: 4, y2: bottom }),
        s("text", { class: "axis", x: x(tick), y: bottom + 18, "text-anchor": "middle" }, say(tick)),
      ]),
      zero && s("line", { class: "zero", x1: x(0), x2: x(0), y1: 4, y2: bottom }),
      rows.map((row, place) => mark(row, place * ROW + ROW / 2 + 4, x, { left, wide })),
    ),
  );
}

/** How wide a drawing is in its own units, which are pixels or a little less. */
const width = () => (NARROW.matches ? 360 : 640);

/** Call a function when drawings should be drawn anew, as the window is another one. */
export const onResize = (call, signal) => NARROW.addEventListener("change", call, { signal });

function mark({ label, value, low, high, text, kind = "", second }, y, x, { left, wide }) {
  const strong = kind === "hybrid" && !second ? "strong" : "";
  return s(
    "g",
    { class: kind },
    kind === "hybrid" && !second && s("rect", { class: "band", x: 0, y: y - ROW / 2 + 1, width: wide, height: ROW - 2, rx: 7 }),
    s("text", { class: strong, x: left - 14, y: y + 4.5, "text-anchor": "end" }, label),
    point({ value, low, high }, second ? y - 5 : y, x),
    second && s("g", { class: "second" }, point(second, y + 5, x)),
    s("text", { class: `value ${strong}`, x: wide - 10, y: y + 4.5, "text-anchor": "end" }, text),
  );
}

function point({ value, low, high }, y, x) {
  if (value === null) return null;
  return [
    low !== null && s("line", { class: "whisker", x1: x(low), x2: x(high), y1: y, y2: y }),
    s("circle", { class: "dot", cx: x(value), cy: y, r: 4.5 }),
  ];
}

/** Values one after the other as a line from 0 up. */
export function sparkline(values, { label }) {
  const height = 90;
  const wide = width();
  const most = Math.max(...values) || 1;
  const step = values.length > 1 ? wide / (values.length - 1) : 0;
  const points = values.map((value, place) => `${(place * step).toFixed(1)},${(height - 4 - (value / most) * (height - 12)).toFixed(1)}`);
  return h(
    "div",
    { class: "plot" },
    s(
      "svg",
      { viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": label },
      s("line", { class: "grid-line", x1: 0, x2: wide, y1: height - 4, y2: height - 4 }),
      s("polyline", { class: "line", points: points.join(" ") }),
    ),
  );
}

/** Numbers as a table. columns: [{name, number}]. */
export function table(caption, columns, rows) {
  return h(
    "div",
    { class: "scroller", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map(({ name, number }) => h("th", { scope: "col", class: number && "num" }, name)))),
      h(
        "tbody",
        {},
        rows.map((cells) =>
          h("tr", {}, cells.map((cell, place) => (place ? h("td", { class: columns[place].number && "num" }, cell) : h("th", { scope: "row" }, cell)))),
        ),
      ),
    ),
  );
}

/** Round numbers that span an interval. */
function scale(low, high) {
  const wide = high - low || 1;
  const rough = wide / (NARROW.matches ? TICKS / 2 : TICKS);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= rough);
  const least = Math.floor(low / step) * step;
  const most = Math.ceil(high / step) * step;
  const ticks = [];
  for (let place = 0; least + place * step <= most + step / 2; place++) ticks.push(least + place * step);
  return { least, most, ticks };
}
