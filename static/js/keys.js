// Single keys: / search, j k Enter through lists, ? help, and data-key on buttons. They can be turned off (WCAG 2.1.4).
import { keep, recall } from "./words.js";

const off = () => recall("keys") === "off";

function writes(element) {
  return element?.matches?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
}

function rowsIn(list) {
  return [...list.querySelectorAll(list.matches("table") ? "tbody > tr" : ":scope > li")];
}

function presentList() {
  return document.activeElement?.closest?.("[data-list-keys]") || document.querySelector("main [data-list-keys]");
}

function move(step) {
  const list = presentList();
  if (!list) return false;
  const rows = rowsIn(list);
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  const target = row?.querySelector("[data-row-link], a[href], button");
  rows.forEach((one) => one.classList.toggle("is-chosen", one === row));
  target?.focus();
  row?.scrollIntoView({ block: "nearest" });
  return Boolean(target);
}

function help(dialog) {
  const list = dialog.querySelector("[data-keys-list]");
  const rows = [["/", list.dataset.wordsSearch], ["?", list.dataset.wordsHelp]];
  if (presentList()) rows.push(["j", list.dataset.wordsNext], ["k", list.dataset.wordsBefore], ["Enter", list.dataset.wordsOpen]);
  document.querySelectorAll("main [data-key]").forEach((one) => rows.push([one.dataset.key, one.querySelector("span")?.textContent || one.ariaLabel]));
  list.replaceChildren(
    ...rows.map(([key, what]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const cap = document.createElement("kbd");
      const words = document.createElement("dd");
      cap.textContent = key;
      words.textContent = what;
      term.append(cap);
      row.append(term, words);
      return row;
    }),
  );
  dialog.querySelector("[data-keys-switch]").checked = !off();
  dialog.showModal();
}

export function start() {
  const dialog = document.getElementById("keys-dialog");
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-keys-open]") && dialog) help(dialog);
    const row = event.target.closest?.("tr");
    const link = row?.querySelector("[data-row-link]");
    if (link && !event.target.closest("a, button, input, label, select, summary") && !String(getSelection())) link.click();
  });
  dialog?.querySelector("[data-keys-switch]").addEventListener("change", (event) => keep("keys", event.target.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || writes(event.target)) return;
    if (document.querySelector("dialog[open]") || off()) return;
    if (event.key === "/") document.querySelector("[data-search]:not([hidden])")?.focus();
    else if (event.key === "?") dialog && help(dialog);
    else if (event.key === "j" || event.key === "k") {
      if (!move(event.key === "j" ? 1 : -1)) return;
    } else {
      const button = [...document.querySelectorAll("main [data-key]")].find((one) => one.dataset.key === event.key && one.offsetParent);
      if (!button) return;
      button.focus();
      button.click();
    }
    event.preventDefault();
  });
}
