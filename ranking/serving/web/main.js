import { choices } from "./api.js";
import { moment } from "./format.js";
import { startKeys } from "./key.js";
import { start } from "./router.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const button = document.getElementById("theme");

function theme() {
  return document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
}

function say() {
  button.setAttribute("aria-pressed", String(theme() === "dark"));
}

button.addEventListener("click", () => {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("trichord-theme", next);
  say();
});
dark.addEventListener("change", say);
say();
startKeys();
start();

choices().then(
  ({ dataset, release, now }) => {
    document.getElementById("server").textContent = `${dataset} · release ${release} · data until ${moment(now)}`;
  },
  () => {}, // the view says what is wrong
);
