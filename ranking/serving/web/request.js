// A request as the reader sets it up, as it stands in the address, and as the API takes it.

export const PARTS = ["popularity", "content", "collaborative", "context"];

/** What is asked for when nothing is said. Wishes (diversity and all below) are sent only where they differ. */
export const NOTHING = Object.freeze({
  mode: "user",
  user: "",
  session: [],
  k: 12,
  at: "",
  device: "",
  place: "",
  explain: true,
  release: "",
  diversity: 0,
  exploration: 0,
  weights: {},
  rules: "",
});

const TEXTS = ["user", "at", "device", "place"];
const WISHES = ["diversity", "exploration"];

/** The request that a query of the address names. prefix: of the keys of one of several wishes, such as "a." */
export function fromQuery(query, prefix = "") {
  const request = { ...NOTHING, session: query.getAll("item"), weights: {} };
  for (const key of TEXTS) request[key] = query.get(key) ?? "";
  request.k = bounded(query.get("k"), 1, 100, NOTHING.k);
  request.explain = query.get("explain") !== "0";
  request.mode = request.user ? "user" : request.session.length || query.has("item") ? "session" : "user";
  if (query.get("who") === "nobody" || query.get("who") === "session") request.mode = query.get("who");
  return { ...request, ...wishesFrom(query, prefix) };
}

/** Wishes that a query names: those of `NOTHING` that say how to answer rather than whom. */
export function wishesFrom(query, prefix = "") {
  const weights = {};
  for (const part of PARTS) {
    const value = bounded(query.get(`${prefix}${part}`), 0, 3, 1);
    if (value !== 1) weights[part] = value;
  }
  const wishes = { weights, rules: query.get(`${prefix}rules`) ?? "", release: query.get(`${prefix}release`) ?? "" };
  for (const key of WISHES) wishes[key] = bounded(query.get(`${prefix}${key}`), 0, 1, 0);
  return wishes;
}

/** The query of a request; what is as in `NOTHING` is left out. */
export function toQuery(request, query = new URLSearchParams()) {
  if (request.mode !== "user") query.set("who", request.mode);
  for (const key of TEXTS) {
    if (request[key] && (key !== "user" || request.mode === "user")) query.set(key, request[key]);
  }
  if (request.mode === "session") for (const id of request.session) query.append("item", id);
  if (request.k !== NOTHING.k) query.set("k", request.k);
  if (!request.explain) query.set("explain", "0");
  return query;
}

/** Add wishes to a query. */
export function wishesTo(wishes, query, prefix = "") {
  for (const [part, value] of Object.entries(wishes.weights)) query.set(`${prefix}${part}`, value);
  for (const key of WISHES) if (wishes[key]) query.set(`${prefix}${key}`, wishes[key]);
  for (const key of ["rules", "release"]) if (wishes[key]) query.set(`${prefix}${key}`, wishes[key]);
  return query;
}

/** The lines of the rules that say something: [{text, line}], lines from 1. */
export function ruleLines(text) {
  return text
    .split("\n")
    .map((one, place) => ({ text: one, line: place + 1 }))
    .filter(({ text: one }) => one.trim());
}

/** The body of POST /v1/recommendations. */
export function toBody(request) {
  const body = { k: request.k, explain: request.explain };
  if (request.mode === "user" && request.user) body.user_id = request.user;
  if (request.mode === "session" && request.session.length) body.session = request.session;
  const context = {};
  if (request.at) context.at = `${request.at}:00Z`;
  if (request.device) context.device = request.device;
  if (request.place) context.place = request.place;
  if (Object.keys(context).length) body.context = context;
  for (const key of WISHES) if (request[key]) body[key] = request[key];
  if (Object.keys(request.weights).length) body.weights = request.weights;
  const rules = ruleLines(request.rules).map(({ text }) => text);
  if (rules.length) body.rules = rules;
  if (request.release) body.release = request.release;
  return body;
}

/** For whom, in words. */
export function whom(request) {
  if (request.mode === "user" && request.user) return `user ${request.user}`;
  const n = request.session.length;
  if (request.mode === "session" && n) return `a session of ${n} item${n === 1 ? "" : "s"}`;
  return "nobody known";
}

function bounded(text, least, most, otherwise) {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : otherwise;
}
