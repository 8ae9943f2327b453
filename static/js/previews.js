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

// A preview that is fetched anew, as a form saves itself, goes on in the width and look that were chosen.
const chosen = new Map();

export function enhance(root) {
  root.querySelectorAll("[data-thumbnail]").forEach((box) => scale.observe(box));
  root.querySelectorAll("[data-preview]").forEach((preview) => {
    const before = chosen.get(preview.id);
    if (!before) return;
    if (before.width !== preview.dataset.width) widen(preview, before.width);
    if (before.scheme !== preview.dataset.scheme) dress(preview, before.scheme);
  });
}

function widen(preview, width) {
  preview.dataset.width = width;
  press(preview, "data-preview-width", width);
}

function dress(preview, scheme) {
  const frame = preview.querySelector("[data-preview-frame]");
  const { src, darkSrc, textSrc } = frame.dataset;
  const next = { light: src, dark: darkSrc || src, text: textSrc }[scheme];
  if (!next) return;
  preview.dataset.scheme = scheme;
  press(preview, "data-preview-scheme", scheme);
  if (frame.getAttribute("src") !== next) frame.src = next;
}

function press(group, attribute, value) {
  group.querySelectorAll(`[${attribute}]`).forEach((one) => one.setAttribute("aria-pressed", String(one.getAttribute(attribute) === value)));
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-preview-width], [data-preview-scheme]");
    const preview = button?.closest("[data-preview]");
    if (!preview) return;
    if (button.dataset.previewWidth) widen(preview, button.dataset.previewWidth);
    else dress(preview, button.dataset.previewScheme);
    chosen.set(preview.id, { width: preview.dataset.width, scheme: preview.dataset.scheme });
  });
}
