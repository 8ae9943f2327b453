// "4 minutes ago" stays true while the page is open; the exact moment stands in the title.
const STEPS = [[60, "second"], [3600, "minute"], [86400, "hour"], [604800, "day"], [2629800, "week"], [31557600, "month"], [Infinity, "year"]];
const SIZES = { second: 1, minute: 60, hour: 3600, day: 86400, week: 604800, month: 2629800, year: 31557600 };

function refresh() {
  const form = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  // The server's clock counts: a demo moves it, and a reader's may be wrong.
  document.querySelectorAll("time[data-ago]").forEach((element) => {
    element.dataset.shift ??= String(Date.now());
    if (Date.now() - Number(element.dataset.shift) < 55000) return;
    const now = Date.now() + serverShift;
    const seconds = (Date.parse(element.dateTime) - now) / 1000;
    const unit = STEPS.find(([limit]) => Math.abs(seconds) < limit)[1];
    if (unit !== "second") element.textContent = form.format(Math.round(seconds / SIZES[unit]), unit);
  });
}

let serverShift = 0;

export function start() {
  const now = Date.parse(document.documentElement.dataset.now || "");
  if (now) serverShift = now - Date.now();
  refresh();
  setInterval(refresh, 30000);
}
