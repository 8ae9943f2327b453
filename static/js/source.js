// The source of a mail: line numbers, jumping to a mistake, and a preview that follows what was saved.
const source = document.querySelector("[data-source]");

if (source) {
  const text = source.querySelector("textarea");
  const lines = source.querySelector(".source-lines");
  let shown = 0;

  function number() {
    const count = text.value.split("\n").length;
    if (count !== shown) {
      lines.textContent = Array.from({ length: count }, (_, index) => index + 1).join("\n");
      shown = count;
    }
    lines.scrollTop = text.scrollTop;
  }

  let leaving = false;
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leaving = true;
    else if (event.key === "Tab" && !leaving && !event.shiftKey) {
      event.preventDefault();
      text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
      text.dispatchEvent(new Event("input", { bubbles: true }));
    } else leaving = false;
  });
  text.addEventListener("input", number);
  text.addEventListener("scroll", () => (lines.scrollTop = text.scrollTop));
  new ResizeObserver(() => {
    lines.style.height = `${text.clientHeight}px`;
    number();
  }).observe(text);
  number();

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-go-line]");
    if (!button) return;
    if (button.dataset.goPart !== "source") {
      document.getElementById(button.dataset.goPart)?.focus();
      return;
    }
    const wanted = Math.max(Number(button.dataset.goLine), 1);
    const all = text.value.split("\n");
    const start = all.slice(0, wanted - 1).reduce((sum, line) => sum + line.length + 1, 0);
    text.focus();
    text.setSelectionRange(start, start + (all[wanted - 1] || "").length);
    text.scrollTop = Math.max(0, (wanted - 6) * (text.scrollHeight / all.length));
  });

  // The compiler's answer has been swapped in: the saved draft changed, so the picture of it is old.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (!event.detail.target?.matches?.("#compiled") && event.detail.elt?.id !== "compiled") return;
    const frame = document.querySelector("#draft [data-preview-frame]");
    if (!frame) return;
    const stamp = (address) => {
      const url = new URL(address, location.href);
      url.searchParams.set("v", Date.now());
      return url.pathname + url.search;
    };
    frame.dataset.src = stamp(frame.dataset.src);
    frame.dataset.darkSrc = stamp(frame.dataset.darkSrc);
    frame.dataset.textSrc = stamp(frame.dataset.textSrc);
    const { src, darkSrc, textSrc } = frame.dataset;
    frame.src = { dark: darkSrc, text: textSrc }[document.querySelector("#draft").dataset.scheme] || src;
  });
}
