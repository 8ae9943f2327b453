// Previews: width and look of a frame, thumbnails scaled to their box.
const FRAME = 600;

const scale = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const frame = target.querySelector("iframe");
    const factor = contentRect.width / FRAME;
    frame.style.transform = `scale(${factor})`;
    frame.style.height = `${Math.ceil(contentRect.height / factor)}px`;
  }
});

export function enhance(root) {
  root.querySelectorAll("[data-thumbnail]").forEach((box) => scale.observe(box));
}

function press(group, attribute, value) {
  group.querySelectorAll(`[${attribute}]`).forEach((one) => one.setAttribute("aria-pressed", String(one.getAttribute(attribute) === value)));
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-preview-width], [data-preview-scheme]");
    const preview = button?.closest("[data-preview]");
    if (!preview) return;
    if (button.dataset.previewWidth) {
      preview.dataset.width = button.dataset.previewWidth;
      press(preview, "data-preview-width", preview.dataset.width);
      return;
    }
    const frame = preview.querySelector("[data-preview-frame]");
    const { src, darkSrc, textSrc } = frame.dataset;
    preview.dataset.scheme = button.dataset.previewScheme;
    press(preview, "data-preview-scheme", preview.dataset.scheme);
    const next = { light: src, dark: darkSrc || src, text: textSrc }[preview.dataset.scheme];
    if (next && frame.getAttribute("src") !== next) frame.src = next;
  });
}
