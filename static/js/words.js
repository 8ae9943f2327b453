// Words that scripts show, translated by the server into the template #words.
export function words(name) {
  return document.getElementById("words")?.dataset[name] || "";
}

// An icon of the sprite, made without markup from strings.
export function icon(name) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(ns, "use");
  use.setAttribute("href", `${words("icons")}#tabler-${name}`);
  svg.append(use);
  return svg;
}

// What a reader stored on this device; storage may be refused, then nothing is kept.
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    return false;
  }
  return true;
}
