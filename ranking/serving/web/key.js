// The API key, where the server asks for one: kept for this tab alone, sent as a header, never part of an address.

import { announce, freshId, h } from "./dom.js";

const PLACE = "trichord-key";
const REALM = 'Bearer realm="trichord"';
const PRINTABLE = /^[\x20-\x7e]+$/; // what a header can hold

const button = document.getElementById("key");

/** The key, null where none is set. */
export const key = () => sessionStorage.getItem(PLACE);

/** What a request says of the key. */
export const authorization = () => (key() === null ? {} : { Authorization: `Bearer ${key()}` });

/** Whether an answer is a refusal for want of a key, or of one that has the scope. */
export const isWanted = (answer) => [401, 403].includes(answer.status) && (answer.headers.get("WWW-Authenticate") ?? "").startsWith(REALM);

let asking;

/** Ask for another key than the one that a request was sent with; false where the reader gives none. */
export async function another(sent, problem) {
  button.hidden = false;
  if (key() !== sent) return true; // given meanwhile, for another request
  asking ??= ask(...why(sent, problem)).finally(() => (asking = undefined));
  return asking;
}

/** A button that asks for a key, and then for the page anew. */
export const keyButton = () => h("button", { type: "button", class: "button", "aria-haspopup": "dialog", onclick: change }, "Give a key");

/** Let the button in the bar ask, too; it is there once a key is set or wanted. */
export function startKeys() {
  button.addEventListener("click", change);
  show();
}

async function change() {
  const told = key() === null ? "None is set." : "One is set, for this tab alone. Give another one, or forget it.";
  if (await ask("API key", told)) location.reload();
}

function show() {
  button.hidden &&= key() === null;
  button.setAttribute("aria-label", key() === null ? "API key: none is set" : "API key: set");
}

/** Title and text of the question. */
function why(sent, { status, message }) {
  const [, scope = "read"] = /\bscope (\w+)/.exec(message) ?? [];
  if (status === 403) return [`This needs the scope “${scope}”`, `The key that is set does not have the scope “${scope}”. Give one that has it, or go on without.`];
  if (sent !== null) return ["This key is not known", `The server does not know the key that is set. Give one that has the scope “${scope}”.`];
  return ["This server asks for an API key", `Give one that has the scope “${scope}”.`];
}

/** Whether a key was given. */
function ask(title, text) {
  const id = freshId("key");
  const fault = h("p", { class: "fault", role: "alert", id: `${id}-fault` });
  const input = h("input", { id, type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-hint` });
  let given = false;

  function take(event) {
    event.preventDefault();
    const value = input.value.trim();
    if (!PRINTABLE.test(value)) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-errormessage", fault.id);
      fault.textContent = value ? "A key has letters, digits and signs of ASCII alone." : "Nothing was given.";
      input.focus();
      return;
    }
    sessionStorage.setItem(PLACE, value);
    given = true;
    dialog.close();
  }

  function forget() {
    sessionStorage.removeItem(PLACE);
    location.reload(); // with all that was shown by it
  }

  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-text` },
    h(
      "form",
      { method: "dialog", onsubmit: take },
      h("h2", { id: `${id}-title` }, title),
      h("p", { id: `${id}-text` }, text),
      h("div", { class: "field" }, h("label", { for: id }, "API key"), input, fault),
      h("p", { class: "hint muted small", id: `${id}-hint` }, "It is kept until this tab is closed, and sent to this server alone."),
      h(
        "div",
        { class: "row field" },
        h("button", { class: "button primary" }, "Use this key"),
        h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel"),
        key() !== null && h("button", { type: "button", class: "button", onclick: forget }, "Forget the key"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      show();
      if (given) announce("The key is set.");
      resolve(given);
    });
  });
}
