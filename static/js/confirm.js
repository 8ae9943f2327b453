// data-confirm="What will happen." on a button, link or form asks once, in a dialog, and then goes on.
// A button's name "_ask" tells the server to ask instead, should it be pressed before this runs; see tcma/asking.py.
const asked = new WeakSet();

function ownName(button) {
  if (!button.name?.startsWith("_ask")) return;
  const [, name = "", value = ""] = button.name.match(/^_ask:([^=]*)=(.*)$/s) || [];
  button.name = name;
  button.value = value;
}

export function start() {
  const dialog = document.getElementById("confirm-dialog");
  if (!dialog?.showModal) return;
  const text = dialog.querySelector("#confirm-text");
  const title = dialog.querySelector("#confirm-title");
  const yes = dialog.querySelector("[data-confirm-yes]");
  const usual = { title: title.textContent, yes: yes.textContent };
  let goOn = null;

  function ask(element, next) {
    text.textContent = element.dataset.confirm;
    const deed = element.dataset.confirmYes || (element.matches("button, a") ? element.querySelector("span")?.textContent : "");
    title.textContent = element.dataset.confirmTitle || (deed ? `${deed.trim()}?` : usual.title);
    yes.querySelector("span").textContent = deed?.trim() || usual.yes;
    yes.classList.toggle("button-danger", element.matches(".button-danger, .menu-item-danger"));
    yes.classList.toggle("button-primary", !element.matches(".button-danger, .menu-item-danger"));
    goOn = next;
    dialog.returnValue = "no";
    dialog.showModal();
  }

  dialog.addEventListener("close", () => {
    const next = goOn;
    goOn = null;
    if (dialog.returnValue === "yes") next?.();
  });

  // Capture, before htmx and the browser act on it.
  document.addEventListener(
    "click",
    (event) => {
      const element = event.target.closest?.("button[data-confirm], a[data-confirm]");
      if (!element || asked.has(element)) {
        asked.delete(element);
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      ask(element, () => {
        ownName(element);
        asked.add(element);
        element.click();
      });
    },
    true,
  );
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (!form.dataset?.confirm || asked.has(form)) {
        asked.delete(form);
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      ask(form, () => {
        asked.add(form);
        form.requestSubmit(event.submitter);
      });
    },
    true,
  );
}
