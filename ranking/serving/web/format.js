// Numbers and moments in words.

export const count = (n) => n.toLocaleString("en");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
export const fixed = (value, digits = 3) => value.toFixed(digits);

/** 0.413 -> "+41.3 %", with a true minus sign. */
export function percent(value, digits = 1) {
  const text = Math.abs(value * 100).toFixed(digits);
  return `${value < 0 ? "\u2212" : "+"}${text}\u00a0%`;
}

const DATE = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short", hourCycle: "h23", timeZone: "UTC" });

export const date = (iso) => DATE.format(new Date(iso));
export const moment = (iso) => `${MOMENT.format(new Date(iso))} UTC`;

/** Seconds as the one unit that says most: "25 min". */
export function duration(seconds) {
  const steps = [[1, "s"], [60, "min"], [3600, "h"], [86400, "days"]];
  const [size, unit] = steps.findLast(([size]) => seconds >= size * 1.5) ?? steps[0];
  return `${Math.round(seconds / size)} ${unit}`;
}

/** "warm_items" -> "warm items". */
export const words = (name) => name.replaceAll("_", " ");

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
