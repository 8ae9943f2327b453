// data-copy copies the text of data-copy-source in the same data-copy-box.
import { toast } from "./toasts.js";
import { words } from "./words.js";

export function start() {
  document.addEventListener("click", async (event) => {
    const source = event.target.closest?.("[data-copy]")?.closest("[data-copy-box]")?.querySelector("[data-copy-source]");
    if (!source) return;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      toast(words("copied"), "good");
    } catch {
      getSelection().selectAllChildren(source);
      toast(words("notCopied"), "warn");
    }
  });
}
