// Tables: names of columns on cards, ticks with a bulk bar, columns that a reader hides.
import { keep, recall } from "./words.js";

export function enhance(root) {
  root.querySelectorAll("table[data-table]").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    const names = heads.map((head) => (head.matches(".cell-tick") ? "" : head.textContent.trim()));
    const first = heads.findIndex((head) => !head.matches(".cell-tick"));
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, index) => {
        if (!cell.dataset.label) cell.dataset.label = names[index] || "";
        cell.classList.toggle("cell-first", index === first);
      });
    }
    columns(table);
  });
  root.querySelectorAll("form[data-bulk]").forEach(count);
}

function columns(table) {
  const menu = document.querySelector(`[data-columns-for="${table.dataset.table}"]`);
  const heads = [...table.tHead.rows[0].cells];
  const optional = heads.filter((head) => "optional" in head.dataset);
  if (!menu || !optional.length) return;
  const key = `columns:${location.pathname}:${table.dataset.table}`;
  const hidden = new Set((recall(key) || "").split(",").filter(Boolean));
  const show = () => {
    for (const head of optional) {
      const away = hidden.has(head.dataset.column);
      const index = heads.indexOf(head);
      for (const row of table.rows) row.cells[index]?.classList.toggle("is-hidden", away);
    }
  };
  menu.hidden = false;
  menu.querySelector("[data-columns-list]").replaceChildren(
    ...optional.map((head) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      label.className = "menu-item";
      box.type = "checkbox";
      box.className = "tick";
      box.checked = !hidden.has(head.dataset.column);
      box.addEventListener("change", () => {
        hidden[box.checked ? "delete" : "add"](head.dataset.column);
        keep(key, [...hidden].join(","));
        show();
      });
      label.append(box, head.textContent.trim());
      return label;
    }),
  );
  show();
}

function count(form) {
  const boxes = [...form.querySelectorAll('input[name="ids"]')];
  const ticked = boxes.filter((box) => box.checked).length;
  const all = form.querySelector("[data-bulk-all]");
  const bar = form.querySelector("[data-bulk-bar]");
  bar.classList.toggle("is-open", ticked > 0);
  bar.querySelector("[data-bulk-count]").textContent = ticked.toLocaleString(document.documentElement.lang);
  if (!all) return;
  all.checked = ticked > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
}

export function start() {
  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-bulk]");
    if (!form) return;
    if (event.target.matches("[data-bulk-all]")) {
      form.querySelectorAll('input[name="ids"]').forEach((box) => (box.checked = event.target.checked));
    }
    count(form);
  });
  document.addEventListener("click", (event) => {
    const form = event.target.closest?.("[data-bulk-clear]")?.closest("form");
    if (!form) return;
    form.querySelectorAll('input[name="ids"]').forEach((box) => (box.checked = false));
    count(form);
  });
}
