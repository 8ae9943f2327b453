// The brand page: the sample follows what is typed, before it is saved.
const form = document.getElementById("brand-form");
const frame = document.querySelector("#brand-sample [data-preview-frame]");
const SHOWN = ["name", "legal_name", "postal_address", "phone", "email", "website", "color", "accent_color"];

if (form && frame) {
  const plain = frame.dataset.src;
  let timer;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const query = new URLSearchParams();
      for (const name of SHOWN) query.set(name, form.elements[name].value);
      frame.dataset.src = `${plain}?${query}`;
      frame.dataset.darkSrc = `${plain}?look=dark&${query}`;
      frame.src = frame.closest("[data-preview]").dataset.scheme === "dark" ? frame.dataset.darkSrc : frame.dataset.src;
    }, 500);
  });
}
