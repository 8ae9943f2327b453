// Notices at the foot of the page. Errors stay until closed; others leave after a while, not while they are looked at.
import { icon, words } from "./words.js";

const STAY = 7000;
const icons = { good: "circle-check", warn: "alert-triangle", bad: "alert-circle", info: "info-circle" };

export function toast(message, tone = "info", title = "") {
  const box = document.getElementById("toasts");
  if (!box) return;
  const note = document.createElement("div");
  note.className = `toast-note tone-${tone}`;
  note.dataset.toast = tone;
  if (tone === "bad") note.setAttribute("role", "alert");
  const text = document.createElement("div");
  text.className = "toast-words";
  for (const [words, name] of [[title, "toast-title"], [message, ""]]) {
    if (!words) continue;
    const line = document.createElement("p");
    line.className = name;
    line.textContent = words;
    text.append(line);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button button-quiet button-icon button-small";
  close.dataset.toastClose = "";
  close.setAttribute("aria-label", words("close"));
  close.append(icon("x"));
  note.append(icon(icons[tone]), text, close);
  add(note);
}

// Takes a notice that the server rendered (fragments/error.html).
export function add(note) {
  const box = document.getElementById("toasts");
  box?.append(note);
  let timer;
  const leave = () => {
    timer = setTimeout(() => note.remove(), STAY);
  };
  if (note.dataset.toast === "bad") return;
  note.addEventListener("pointerenter", () => clearTimeout(timer));
  note.addEventListener("pointerleave", leave);
  note.addEventListener("focusin", () => clearTimeout(timer));
  leave();
}

export function start() {
  document.addEventListener("click", (event) => {
    event.target.closest?.("[data-toast-close]")?.closest("[data-toast]")?.remove();
    const example = event.target.closest?.("[data-toast-example]");
    if (example) toast(example.dataset.toastExample, "good");
  });
  document.querySelectorAll("#toasts [data-toast]").forEach(add);
}
