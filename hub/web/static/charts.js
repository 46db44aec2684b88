// Charts of the history, drawn by uPlot from numbers in the page. Each stands beside a table of the same numbers.
const DAY = 86400;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function options(chart, box) {
  const labels = chart.labels;
  const line = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
  const day = (seconds) => new Date(seconds * 1000).toLocaleDateString(undefined, { timeZone: "UTC", day: "numeric", month: "short" });
  const number = (value) => (value == null ? "–" : `${value.toLocaleString()}${chart.unit ? ` ${chart.unit}` : ""}`);
  const bars = uPlot.paths.bars({ size: [0.7, 60], radius: 0.15 });
  return {
    width: Math.max(240, box.clientWidth),
    height: 220,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    scales: {
      x: labels
        ? { time: false, range: [-0.6, labels.length - 0.4] }
        : { time: true, range: (_, low, high) => [low - DAY * 0.6, Math.max(high, low + DAY) + DAY * 0.6] },
      y: { range: (_, low, high) => [0, Math.max(1, high * 1.08)] },
    },
    axes: [
      { ...line, values: (_, splits) => splits.map((split) => (labels ? (labels[split] ?? "") : day(split))), space: labels ? 44 : 64,
        ...(labels ? { incrs: [1, 2, 3, 5] } : {}) },
      { ...line, size: 56, values: (_, splits) => splits.map(number) },
    ],
    series: [
      { label: labels ? "Took" : "Day", value: (_, at) => (at == null ? "–" : labels ? labels[at] : day(at)) },
      ...chart.series.map((one) => ({
        label: one.label,
        stroke: colour(one.tone),
        fill: one.bars ? colour(one.tone) : undefined,
        paths: one.bars ? bars : undefined,
        width: one.bars ? 0 : 2,
        points: { show: !one.bars && chart.x && chart.x.length < 45 },
        value: (_, value) => number(value),
      })),
    ],
  };
}

function draw(box) {
  const chart = JSON.parse(box.dataset.chart);
  const x = chart.labels ? chart.labels.map((_, number) => number) : chart.x;
  box.plot?.destroy();
  if (!x.length) return;
  box.plot = new uPlot(options(chart, box), [x, ...chart.series.map((one) => one.values)], box);
}

const boxes = [...document.querySelectorAll("[data-chart]")];
if (window.uPlot) {
  boxes.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => boxes.forEach(draw));
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => boxes.forEach(draw), 120);
  });
}
