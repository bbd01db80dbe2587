// One page, many addresses: which view is shown is read from the address alone, so that every state can be shared.

const ROUTES = [
  [/^\/$/, "recommend"],
  [/^\/compare$/, "compare"],
  [/^\/items$/, "items"],
  [/^\/items\/([^/]+)$/, "item"],
  [/^\/dashboard$/, "dashboard"],
];

let leaving = new AbortController();
let shown = ""; // the address without its fragment

/** Go to an address of this page. */
export function navigate(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  return render({ focus: true });
}

/** Say in the address what is shown now, without showing it anew. */
export function remember(query, { replace = false } = {}) {
  const text = query.toString();
  const address = text ? `${location.pathname}?${text}` : location.pathname;
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  shown = address;
}

/** Show what the address names. focus: the reader came by a link, so the heading is where to go on reading. */
export async function render({ focus = false } = {}) {
  leaving.abort();
  shown = location.pathname + location.search;
  leaving = new AbortController();
  const { signal } = leaving;
  const main = document.getElementById("main");
  const [pattern, name] = ROUTES.find(([pattern]) => pattern.test(location.pathname)) ?? ROUTES[0];
  const [, id] = pattern.exec(location.pathname) ?? [];
  for (const link of document.querySelectorAll("[data-page]")) {
    const here = link.dataset.page === name || (link.dataset.page === "items" && name === "item");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const { show } = await import(`./pages/${name}.js`);
  if (signal.aborted) return;
  main.className = `page-${name}`;
  main.replaceChildren();
  if (focus) scrollTo(0, 0);
  await show(main, { query: new URLSearchParams(location.search), id: id && decodeURIComponent(id), signal });
  if (focus && !signal.aborted) main.querySelector("h1")?.focus({ preventScroll: true });
}

/** Follow links to this page's own addresses without loading it again. */
export function start() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || link.hash || !ROUTES.some(([pattern]) => pattern.test(url.pathname))) return;
    event.preventDefault();
    navigate(url.pathname + url.search);
  });
  addEventListener("popstate", () => shown !== location.pathname + location.search && render());
  return render();
}
