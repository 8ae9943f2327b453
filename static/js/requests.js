// htmx: the CSRF header, refusals as notices, polling only while the page is looked at.
import { add, toast } from "./toasts.js";
import { words } from "./words.js";

export function start() {
  document.addEventListener("htmx:configRequest", (event) => {
    const token = document.querySelector('meta[name="csrf-token"]')?.content;
    if (token && event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = token;
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    const polls = (event.target.getAttribute?.("hx-trigger") || "").includes("every");
    if (polls && document.hidden) event.preventDefault();
  });

  // 422 carries the form with its errors and is swapped in; other refusals are a notice.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status < 400) return;
    const note = errorFragment(xhr.responseText);
    if (note) {
      event.detail.shouldSwap = false;
      event.detail.isError = false;
      add(note);
    } else if (xhr.status === 422) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  document.addEventListener("htmx:responseError", (event) => {
    toast(words(event.detail.xhr.status === 401 ? "signedOut" : "broken"), "bad");
  });
  document.addEventListener("htmx:sendError", (event) => {
    const polls = (event.target.getAttribute?.("hx-trigger") || "").includes("every");
    if (!polls) toast(words("offline"), "bad");
  });

  freshenLinks();
}

function errorFragment(text) {
  if (!text.includes("data-error-fragment")) return null;
  return new DOMParser().parseFromString(text, "text/html").querySelector("[data-error-fragment]");
}

// A toolbar stays in the page while its table is swapped, so its links take the new search along.
function freshenLinks() {
  document.addEventListener("htmx:pushedIntoHistory", () => {
    const query = new URLSearchParams(location.search).get("q");
    document.querySelectorAll(".toolbar a[href]").forEach((link) => {
      const url = new URL(link.href, location.href);
      if (query) url.searchParams.set("q", query);
      else url.searchParams.delete("q");
      link.href = url.pathname + url.search;
    });
  });
}
