// Plots: our own small data, drawn by ECharts in the colours of the tokens; loaded when one comes into view.
import { words } from "./words.js";

let library;
const drawn = new Map();

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${document.documentElement.dataset.vendor}echarts.min.js`;
    script.onload = () => resolve(window.echarts);
    script.onerror = reject;
    document.head.append(script);
  });
  return library;
}

const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  },
  { rootMargin: "200px" },
);

// The value of a token as the browser resolves it, light or dark.
function token(name, probe) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function colours(figure) {
  const probe = document.createElement("span");
  figure.append(probe);
  const names = ["--ink", "--ink-2", "--ink-3", "--line", "--surface", "--raised", "--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
  const found = Object.fromEntries(names.map((name) => [name.slice(2), token(name, probe)]));
  probe.remove();
  return found;
}

function formatter(figure) {
  const { format, currency } = figure.dataset;
  const lang = document.documentElement.lang || "en";
  const styles = { money: { style: "currency", currency, maximumFractionDigits: 0 }, percent: { style: "percent", maximumFractionDigits: 1 } };
  const full = new Intl.NumberFormat(lang, styles[format] || {});
  const short = new Intl.NumberFormat(lang, { ...styles[format], notation: "compact" });
  return { full: (value) => (value == null ? "–" : full.format(value)), short: (value) => short.format(value) };
}

function option(figure, data) {
  const tint = colours(figure);
  const { kind } = figure.dataset;
  const { full, short } = formatter(figure);
  const palette = [1, 2, 3, 4, 5, 6].map((n) => tint[`series-${n}`]);
  const text = { color: tint["ink-3"], fontFamily: getComputedStyle(figure).fontFamily, fontSize: 12 };
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const shared = {
    color: palette,
    animation: !still,
    animationDuration: 400,
    textStyle: text,
    tooltip: {
      trigger: kind === "funnel" ? "item" : "axis",
      renderMode: "richText", // markup with style attributes is against the policy
      valueFormatter: full,
      axisPointer: { type: "line", lineStyle: { color: tint["ink-3"] } },
      backgroundColor: tint.raised,
      borderColor: tint.line,
      textStyle: { ...text, color: tint.ink },
    },
    legend: { show: data.series.length > 1, bottom: 4, left: 0, padding: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, itemGap: 18, textStyle: { ...text, color: tint["ink-2"] } },
  };
  if (kind === "funnel") {
    return {
      ...shared,
      series: [{ type: "funnel", sort: "none", gap: 2, left: 0, right: 0, top: 8, bottom: 8, minSize: "18%", label: { position: "inside", color: tint.surface, formatter: (one) => `${one.name}  ${full(one.value)}` }, data: data.x.map((name, i) => ({ name, value: data.series[0].data[i] })) }],
    };
  }
  const flat = kind === "bars";
  const width = figure.querySelector("[data-plot-canvas]").clientWidth;
  const wraps = kind !== "line" && kind !== "area" && !flat && fits(data.x, (width - 48) / data.x.length);
  const legendLines = data.series.length > 1 ? lines(data.series.map((one) => one.name.length * 6.5 + 33), width) : 0;
  const bars = flat || kind === "bar" || kind === "stack";
  const names = { type: "category", data: data.x, inverse: flat, boundaryGap: bars, axisTick: { show: false }, axisLine: { show: !flat, lineStyle: { color: tint.line } }, axisLabel: { ...text, ...(wraps ? { interval: 0, width: (width - 48) / data.x.length - 6, overflow: "break", lineHeight: 15 } : { hideOverlap: true }), ...(flat ? { color: tint["ink-2"], fontSize: 13 } : {}) } };
  const values = { type: "value", splitNumber: 3, axisLabel: { ...text, formatter: short, show: !flat }, splitLine: { show: !flat, lineStyle: { color: tint.line } } };
  return {
    ...shared,
    grid: { left: 2, right: flat ? 48 : bars ? 6 : 22, top: 14, bottom: legendLines ? legendLines * 20 + 18 : 8, containLabel: true },
    xAxis: flat ? values : names,
    yAxis: flat ? names : values,
    series: data.series.map((one, index) => ({
      name: one.name,
      data: one.data,
      type: bars ? "bar" : "line",
      stack: kind === "stack" ? "all" : undefined,
      barMaxWidth: data.series.length > 1 && kind !== "stack" ? 26 : 40,
      itemStyle: { borderRadius: bars && kind !== "stack" ? (flat ? [0, 5, 5, 0] : [5, 5, 0, 0]) : 0, borderColor: bars ? tint.surface : undefined, borderWidth: kind === "stack" ? 1 : 0 },
      label: { show: flat, position: "right", color: tint.ink, fontWeight: 600, formatter: ({ value }) => full(value) },
      showSymbol: data.x.length < 2,
      symbolSize: 7,
      lineStyle: { width: 2.25 },
      areaStyle: kind === "area" && index === 0 ? { opacity: 0.12 } : undefined,
    })),
  };
}

// Whether each name's longest word has room in its share of the axis, 12 pixels high.
function fits(names, room) {
  return names.every((name) => Math.max(...String(name).split(/\s/).map((word) => word.length)) * 6.6 <= room - 6);
}

// How many lines things of these widths take, one after the other.
function lines(widths, room) {
  let used = 0;
  return widths.reduce((count, width) => {
    used += width;
    if (used <= room || used === width) return count;
    used = width;
    return count + 1;
  }, 1);
}

async function draw(figure) {
  const canvas = figure.querySelector("[data-plot-canvas]");
  try {
    const stored = figure.querySelector("[data-plot-data]");
    const [echarts, data] = await Promise.all([load(), stored ? JSON.parse(stored.textContent) : fetchData(figure)]);
    if (!stored) fillTable(figure, data);
    const chart = echarts.init(canvas, null, { renderer: "svg" });
    chart.setOption(option(figure, data));
    drawn.set(figure, { chart, data });
    new ResizeObserver(() => chart.resize()).observe(canvas);
  } catch (error) {
    canvas.textContent = words("noPlot");
    canvas.classList.add("quiet");
    figure.querySelector(".plot-table").open = true;
    console.error(error);
  }
}

async function fetchData(figure) {
  const answer = await fetch(figure.dataset.url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${figure.dataset.url} answered ${answer.status}`);
  return answer.json();
}

function fillTable(figure, data) {
  const { full } = formatter(figure);
  const table = figure.querySelector("table");
  const cell = (name, text, number) => {
    const one = document.createElement(name);
    one.textContent = text;
    if (name === "th") one.scope = number === null ? "row" : "col";
    if (number) one.className = "num";
    return one;
  };
  table.tHead.rows[0].append(...data.series.map((one) => cell("th", one.name, true)));
  table.tBodies[0].replaceChildren(
    ...data.x.map((name, i) => {
      const row = document.createElement("tr");
      row.append(cell("th", name, null), ...data.series.map((one) => cell("td", full(one.data[i]), true)));
      return row;
    }),
  );
}

export function enhance(root) {
  root.querySelectorAll("[data-plot]").forEach((figure) => {
    if (figure.dataset.on) return;
    figure.dataset.on = "1";
    seen.observe(figure);
  });
}

export function start() {
  document.documentElement.addEventListener("theme:changed", () => {
    for (const [figure, { chart, data }] of drawn) {
      if (figure.isConnected) chart.setOption(option(figure, data), true);
      else {
        chart.dispose();
        drawn.delete(figure);
      }
    }
  });
}
