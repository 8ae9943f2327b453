// Runs before the first paint, so that the chosen look never flashes. "auto" follows the system.
(function () {
  "use strict";
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto"; // storage may be refused; the system's choice stands
    }
  }

  function apply() {
    const choice = chosen();
    root.setAttribute("data-bs-theme", choice === "auto" ? (dark.matches ? "dark" : "light") : choice);
    root.dispatchEvent(new CustomEvent("theme:changed"));
  }

  root.classList.add("js");
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", (event) => event.key === "theme" && apply());

  document.addEventListener("DOMContentLoaded", () => {
    const buttons = document.querySelectorAll("[data-theme-set]");
    const show = () => buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.themeSet === chosen())));
    buttons.forEach((one) =>
      one.addEventListener("click", () => {
        try {
          localStorage.setItem("theme", one.dataset.themeSet);
        } catch {
          root.setAttribute("data-bs-theme", one.dataset.themeSet === "auto" ? "" : one.dataset.themeSet);
          return;
        }
        apply();
        show();
      }),
    );
    show();
  });
})();
