// Zones: drag a rectangle over the page and its numbers land in the form. The form alone works too.
const NS = "http://www.w3.org/2000/svg";
const PARTS = ["x", "y", "width", "height"];

const box = document.querySelector("[data-zones]");
const form = document.getElementById("zones-form");
if (box && form) start();

function start() {
  const sheet = box.querySelector("svg");
  const page = Number(box.dataset.page);
  let from = null;
  let drawn = null;

  const rows = () => [...form.querySelectorAll("[data-zone]")];
  const input = (row, part) => row.querySelector(`[name$="-${part}"]`);

  function paint() {
    sheet.replaceChildren();
    rows().forEach((row, index) => {
      if (Number(input(row, "page").value) !== page) return;
      const mark = document.createElementNS(NS, "rect");
      mark.setAttribute("class", "zone-mark");
      for (const part of PARTS) mark.setAttribute(part, `${Number(input(row, part).value) || 0}%`);
      const label = document.createElementNS(NS, "text");
      label.setAttribute("class", "zone-label");
      label.setAttribute("x", `${Number(input(row, "x").value) + 0.8}%`);
      label.setAttribute("y", `${Number(input(row, "y").value)}%`);
      label.setAttribute("dy", "1.1em");
      const kind = input(row, "kind");
      label.textContent = `${index + 1} ${kind.options[kind.selectedIndex].text}`;
      sheet.append(mark, label);
    });
    if (drawn) sheet.append(drawn);
  }

  function at(event) {
    const edge = box.getBoundingClientRect();
    const share = (value, size) => Math.min(Math.max(value / size, 0), 1) * 100;
    return { x: share(event.clientX - edge.left, edge.width), y: share(event.clientY - edge.top, edge.height) };
  }

  function area(one, other) {
    return { x: Math.min(one.x, other.x), y: Math.min(one.y, other.y), width: Math.abs(one.x - other.x), height: Math.abs(one.y - other.y) };
  }

  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    box.setPointerCapture(event.pointerId);
    from = at(event);
    drawn = document.createElementNS(NS, "rect");
    drawn.setAttribute("class", "zone-mark zone-new");
  });
  box.addEventListener("pointermove", (event) => {
    if (!from) return;
    for (const [part, value] of Object.entries(area(from, at(event)))) drawn.setAttribute(part, `${value}%`);
    paint();
  });
  box.addEventListener("pointerup", (event) => {
    if (!from) return;
    const found = area(from, at(event));
    from = drawn = null;
    if (found.width >= 1 && found.height >= 1) add(found);
    paint();
  });
  box.addEventListener("pointercancel", () => {
    from = drawn = null;
    paint();
  });

  function add(found) {
    const blank = rows().find((row) => row.dataset.fresh);
    // Rows may have been taken out in between, so a new one comes after the last, not into a gap.
    const number = rows().reduce((most, row) => Math.max(most, Number(input(row, "page").name.split("-")[1]) + 1), 0);
    const row = blank || copyOf(number);
    for (const part of PARTS) input(row, part).value = found[part].toFixed(2);
    input(row, "page").value = page;
    input(row, "kind").focus({ preventScroll: true });
  }

  // A new row is like the others; with none there yet, the server makes the first.
  function copyOf(number) {
    const model = form.querySelector("[data-zone]") || document.getElementById("zone-model").content.querySelector("[data-zone]");
    const row = model.cloneNode(true);
    row.querySelectorAll("[name^=zones-]").forEach((one) => {
      one.name = one.name.replace(/^zones-\d+/, `zones-${number}`);
      one.id = one.name;
    });
    row.querySelectorAll("label[for]").forEach((one) => (one.htmlFor = one.htmlFor.replace(/^zones-\d+/, `zones-${number}`)));
    row.querySelectorAll("[aria-describedby]").forEach((one) => one.removeAttribute("aria-describedby"));
    row.querySelectorAll("button[name=do]").forEach((one) => (one.value = `remove-${number}`));
    row.querySelector("legend").textContent = row.querySelector("legend").textContent.replace(/\d+|$/, String(number + 1));
    const list = form.querySelector("[data-zone-rows]");
    list.querySelector(":scope > p")?.remove();
    list.append(row);
    return row;
  }

  form.addEventListener("input", paint);
  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[name=do]");
    if (!button?.value.startsWith("remove-")) return;
    event.preventDefault();
    button.closest("[data-zone]").remove();
    paint();
  });
  box.classList.add("is-live");
  paint();
}
