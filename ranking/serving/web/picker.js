// A text field with a list of what it can become: the combobox of the ARIA Authoring Practices, with a listbox.

import { announce, debounced, freshId, h } from "./dom.js";

/**
 * find: (text) -> options [{value, text, note}]. chosen: is given the option.
 * keep: whether the field shows what was chosen; else it is emptied for the next choice.
 */
export function picker({ label, name, value = "", placeholder = "", hint = "", find, chosen, keep = true }) {
  const id = freshId("picker");
  let options = [];
  let active = -1;
  let asked = 0;

  const list = h("ul", { id: `${id}-list`, role: "listbox", "aria-label": label, hidden: true });
  const input = h("input", {
    id,
    name,
    type: "text",
    role: "combobox",
    value,
    placeholder,
    autocomplete: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": `${id}-list`,
    "aria-describedby": hint && `${id}-hint`,
    oninput: debounced(open, 120),
    onclick: () => list.hidden && open(""),
    onkeydown: key,
    onblur: () => setTimeout(close, 120),
  });

  async function open(text = input.value) {
    const mine = ++asked;
    const found = await find(typeof text === "string" ? text : input.value).catch(() => []);
    if (mine !== asked || document.activeElement !== input) return;
    options = found;
    active = -1;
    list.replaceChildren(
      ...options.map((option, place) =>
        h(
          "li",
          { id: `${id}-${place}`, role: "option", "aria-selected": "false", onmousedown: (event) => take(event, option) },
          h("span", {}, option.text),
          h("span", { class: "muted" }, option.note),
        ),
      ),
    );
    if (!options.length) list.append(h("li", { class: "muted", role: "presentation" }, h("span", {}, "Nothing found")));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    announce(options.length ? `${options.length} to choose from` : "Nothing found");
  }

  function close() {
    asked++;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function take(event, option) {
    event.preventDefault();
    input.value = keep ? option.value : "";
    close();
    chosen(option);
  }

  function mark(place) {
    active = place;
    for (const [one, element] of [...list.children].entries()) element.setAttribute("aria-selected", String(one === place));
    list.children[place].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", `${id}-${place}`);
  }

  function key(event) {
    const isOpen = !list.hidden && options.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) return open(input.value);
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark((active + step + options.length + (active < 0 && step < 0 ? 1 : 0)) % options.length);
    } else if (event.key === "Escape") {
      close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (isOpen && active >= 0) return take(event, options[active]);
      const text = input.value.trim();
      if (keep) {
        close();
        chosen({ value: text, text });
      } else if (isOpen) take(event, options[0]);
    }
  }

  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("div", { class: "picker" }, input, list),
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
  return element;
}
