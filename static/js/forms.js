// Forms: counters, files by dropping, saving as one goes, focus on what must be mended.
const WAIT = 900;

export function enhance(root) {
  root.querySelectorAll("[data-count-for]").forEach((output) => {
    const input = document.getElementById(output.dataset.countFor);
    if (input && !output.dataset.on) {
      output.dataset.on = "1";
      const show = () => counted(input, output);
      input.addEventListener("input", show);
      input.addEventListener("rich", show);
      show();
    }
  });
  root.querySelectorAll("[data-drop]").forEach(drop);
  root.querySelectorAll("form[data-autosave]").forEach(autosave);
  root.querySelector("[data-focus-me]")?.focus();
}

function counted(input, output) {
  const limit = Number(input.dataset.limit);
  const used = [...(input.dataset.shown ?? input.value)].length; // formatted text counts as it is read
  output.textContent = output.dataset.countWords
    .replace("%(used)s", used.toLocaleString(document.documentElement.lang))
    .replace("%(limit)s", limit.toLocaleString(document.documentElement.lang));
  output.classList.toggle("is-near", used > limit * 0.9 && used <= limit);
  output.classList.toggle("is-over", used > limit);
}

function drop(zone) {
  if (zone.dataset.on) return;
  zone.dataset.on = "1";
  const input = zone.querySelector("input[type=file]");
  const list = zone.querySelector("[data-drop-files]");
  for (const type of ["dragenter", "dragover"]) zone.addEventListener(type, () => zone.classList.add("is-over"));
  for (const type of ["dragleave", "drop"]) zone.addEventListener(type, () => zone.classList.remove("is-over"));
  input.addEventListener("change", () => {
    list.replaceChildren(
      ...[...input.files].map((file) => {
        const item = document.createElement("li");
        item.textContent = `${file.name} (${size(file.size)})`;
        return item;
      }),
    );
  });
}

function size(bytes) {
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "kilobyte"] : [bytes / 1e6, "megabyte"];
  return new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

function autosave(form) {
  if (form.dataset.on) return;
  form.dataset.on = "1";
  const state = form.querySelector("[data-autosave-state]");
  let timer;
  let turn = 0;
  const say = (name, bad = false) => {
    if (!state) return;
    const when = name === "saved" ? ` ${new Date().toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" })}` : "";
    state.textContent = state.dataset[name] + when;
    state.classList.toggle("is-bad", bad);
  };
  async function save() {
    const mine = ++turn;
    say("saving");
    const data = new FormData(form);
    for (const [name, value] of [...data]) if (value instanceof File) data.delete(name);
    try {
      const answer = await fetch(form.dataset.autosave, {
        method: "POST",
        body: data,
        headers: { "X-Autosave": "1", "X-CSRFToken": document.querySelector('meta[name="csrf-token"]')?.content || "" },
      });
      if (mine !== turn) return;
      if (answer.ok) {
        mark(form, {});
        say("saved");
      } else if (answer.status === 422) {
        mark(form, (await answer.json()).fields || {});
        say("invalid", true);
      } else {
        again();
      }
    } catch {
      if (mine === turn) again();
    }
  }
  function again() {
    say("failed", true);
    clearTimeout(timer);
    timer = setTimeout(save, 8000);
  }
  form.addEventListener("input", (event) => {
    if (event.target.type === "file") return;
    clearTimeout(timer);
    timer = setTimeout(save, WAIT);
  });
  form.addEventListener("submit", () => clearTimeout(timer));
}

// Shows the server's words at the fields that it refused while saving.
function mark(form, fields) {
  form.querySelectorAll("[data-live-error]").forEach((old) => {
    old.closest(".field")?.classList.remove("has-error");
    old.remove();
  });
  for (const [name, message] of Object.entries(fields)) {
    const field = form.elements[name]?.closest?.(".field");
    if (!field) continue;
    const line = document.createElement("p");
    line.className = "field-error";
    line.dataset.liveError = "";
    line.textContent = message;
    field.classList.add("has-error");
    field.append(line);
  }
}

export function start() {
  // A deed is done once: the second press of a sent form does nothing.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    else form.dataset.sent = "1";
  });
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
}
