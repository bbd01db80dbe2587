// Charts as SVG, drawn from numbers. Each stands with a table of the same numbers, for those who do not see it.

import { h, s } from "./dom.js";

const WIDTH = 720;
const ROW = 27;
const AXIS = 30;
const TICKS = 5;

/**
 * Points with intervals, one row each.
 * rows: [{label, value, low, high, text, kind}]; value null where there is none. label: of the whole.
 */
export function forest(rows, { label, say, zero = false, names = 170 }) {
  const known = rows.filter(({ value }) => value !== null);
  const bounds = known.flatMap(({ low, high, value }) => [low ?? value, high ?? value]);
  const { least, most, ticks } = scale(Math.min(0, ...bounds), Math.max(0, ...bounds));
  const left = names;
  const right = WIDTH - 84;
  const x = (value) => left + ((value - least) / (most - least)) * (right - left);
  const bottom = rows.length * ROW + 8;
  return h(
    "div",
    { class: "plot" },
    s(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${bottom + AXIS}`, role: "img", "aria-label": label },
      ticks.map((tick) => [
        s("line", { class: "grid-line", x1: x(tick), x2: x(tick), y1: 4, y2: bottom }),
        s("text", { class: "axis", x: x(tick), y: bottom + 18, "text-anchor": "middle" }, say(tick)),
      ]),
      zero && s("line", { class: "zero", x1: x(0), x2: x(0), y1: 4, y2: bottom }),
      rows.map((row, place) => mark(row, place * ROW + ROW / 2 + 4, x, left)),
    ),
  );
}

function mark({ label, value, low, high, text, kind = "" }, y, x, left) {
  const strong = kind === "hybrid" ? "strong" : "";
  return s(
    "g",
    { class: kind },
    kind === "hybrid" && s("rect", { class: "band", x: 0, y: y - ROW / 2 + 1, width: WIDTH, height: ROW - 2, rx: 7 }),
    s("text", { class: strong, x: left - 14, y: y + 4.5, "text-anchor": "end" }, label),
    value !== null && low !== null && s("line", { class: "whisker", x1: x(low), x2: x(high), y1: y, y2: y }),
    value !== null && s("circle", { class: "dot", cx: x(value), cy: y, r: 5 }),
    s("text", { class: `value ${strong}`, x: WIDTH - 10, y: y + 4.5, "text-anchor": "end" }, text),
  );
}

/** Values one after the other as a line from 0 up. */
export function sparkline(values, { label }) {
  const height = 90;
  const most = Math.max(...values) || 1;
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  const points = values.map((value, place) => `${(place * step).toFixed(1)},${(height - 4 - (value / most) * (height - 12)).toFixed(1)}`);
  return h(
    "div",
    { class: "plot" },
    s(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label },
      s("line", { class: "grid-line", x1: 0, x2: WIDTH, y1: height - 4, y2: height - 4 }),
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
  const rough = wide / TICKS;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * size).find((one) => one >= rough);
  const least = Math.floor(low / step) * step;
  const most = Math.ceil(high / step) * step;
  const ticks = [];
  for (let place = 0; least + place * step <= most + step / 2; place++) ticks.push(least + place * step);
  return { least, most, ticks };
}
