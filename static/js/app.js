// Enhancements of every page. Each module finds its own elements, also in parts that htmx swaps in.
import { start as startRequests } from "./requests.js";
import { start as startToasts } from "./toasts.js";
import { start as startConfirm } from "./confirm.js";
import { start as startMenus } from "./menus.js";
import { start as startKeys } from "./keys.js";
import { enhance as enhanceTables, start as startTables } from "./tables.js";
import { enhance as enhanceForms, start as startForms } from "./forms.js";
import { enhance as enhanceRich } from "./rich.js";
import { enhance as enhancePreviews, start as startPreviews } from "./previews.js";
import { enhance as enhancePlots, start as startPlots } from "./plots.js";
import { start as startTimes } from "./times.js";
import { start as startCopy } from "./copy.js";

function enhance(root) {
  enhanceTables(root);
  enhanceForms(root);
  enhanceRich(root);
  enhancePreviews(root);
  enhancePlots(root);
}

for (const start of [startRequests, startToasts, startConfirm, startMenus, startKeys, startTables, startForms, startPreviews, startPlots, startTimes, startCopy]) {
  start();
}
enhance(document);
document.addEventListener("htmx:load", (event) => enhance(event.detail.elt.parentElement || document));
