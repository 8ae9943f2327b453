// Menus are details elements; here they close when one looks away, and arrows move through them.
export function start() {
  document.addEventListener("click", (event) => {
    const inside = event.target.closest?.("details[data-menu]");
    document.querySelectorAll("details[data-menu][open]").forEach((menu) => menu !== inside && menu.removeAttribute("open"));
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("details[data-menu]");
    if (!menu?.open) return;
    const items = [...menu.querySelectorAll(".menu-panel :is(a, button, input)")];
    const at = items.indexOf(document.activeElement);
    if (event.key === "Escape") {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
      event.stopPropagation();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = event.key === "ArrowDown" ? at + 1 : at - 1;
      items[(next + items.length) % items.length]?.focus();
    }
  });
}
