// Spend by day, stacked. Drawn by uPlot; names are set as text.
import { uPlot } from "./vendor/chart.js";

const COLOURS = ["#17857b", "#d08a1d", "#5b7fc4", "#b1557f", "#7a9a3a", "#8f6bc0", "#8a9499"];
const place = document.getElementById("chart");
const legend = document.getElementById("legend");
const style = () => getComputedStyle(document.body);

function stacked(values) {
  const sums = values[0].map(() => 0);
  return values.map((row) => row.map((value, day) => (sums[day] += value)));
}

function draw(data) {
  const ink = style().getPropertyValue("--dim").trim();
  const line = style().getPropertyValue("--line").trim();
  // The highest sums are drawn first, so that each lower one covers its part.
  const series = stacked(data.values).map((values, at) => ({ values, at })).reverse();
  const money = data.unit === "usd";
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  place.replaceChildren();
  return new uPlot({
    width: place.clientWidth,
    height: 260,
    legend: { show: false },
    cursor: { drag: { setScale: false } },
    scales: { x: { time: true, range: (_, low, high) => [low - 43200, high + 43200] }, y: { range: (_, low, high) => [0, Math.max(high * 1.08, money ? 0.01 : 1)] } },
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => (money ? `$${+tick.toFixed(4)}` : tick.toLocaleString("en"))) }],
    series: [{}, ...series.map(({ at }) => ({
      label: data.names[at], fill: COLOURS[at % COLOURS.length], stroke: COLOURS[at % COLOURS.length],
      width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 48] }),
    }))],
  }, [data.days, ...series.map(({ values }) => values)], place);
}

const answer = await fetch(place.dataset.source, { headers: { Accept: "application/json" } });
if (answer.ok) {
  const data = await answer.json();
  legend.replaceChildren(...data.names.map((name, at) => {
    const item = document.createElement("span");
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    mark.setAttribute("width", "10");
    mark.setAttribute("height", "10");
    mark.setAttribute("aria-hidden", "true");
    const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    square.setAttribute("width", "10");
    square.setAttribute("height", "10");
    square.setAttribute("fill", COLOURS[at % COLOURS.length]);
    mark.append(square);
    item.append(mark, ` ${name}`);
    return item;
  }));
  if (data.names.length) {
    draw(data);
    place.dataset.drawn = "true";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(data));
    let width = place.clientWidth;
    new ResizeObserver(() => {
      if (Math.abs(place.clientWidth - width) > 2) { width = place.clientWidth; draw(data); }
    }).observe(place);
  }
}
