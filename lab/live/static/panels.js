// One panel: its rows as figures, a chart, a map or a table (dashboards/model.py says what the rows of each kind mean).
import { PointMap } from "./map.js";
import { AXIS, deviceName, figure, ink, make, table } from "./words.js";

const ROWS = 200, LABELS = 60;
const LINES = ["line-1", "line-2", "line-3", "line-4", "line-5", "line-6"];
const SECONDS_BELOW = 1e11;

// plotly.js is 5 MB: it comes when the first chart is drawn, not before the map.
let charts;
function plotly() {
  charts ??= new Promise((done, failed) => {
    document.head.append(make("script", { src: "/charts.js", onload: () => done(window.Plotly), onerror: () => failed(new Error("the chart library cannot be loaded")) }));
  });
  return charts;
}

export async function draw(body, panel, data, options) {
  if (options.asTable) { asTable(body, panel, data, options); return; }
  await ({ stat, gauge, timeseries, bar, table: asTable, map: points, state: states }[panel.kind])(body, panel, data, options);
}

// Whether there is nothing to draw: no row, or no figure in any. Where rows list what went wrong, one says that nothing did.
const NOTHING = ["none", "no outage"];
export function isEmpty(panel, data) {
  const text = panel.columns.find((column) => column.type === "text");
  if (["table", "state"].includes(panel.kind) && data.rows === 1 && text && NOTHING.includes(data.columns[text.name][0])) return true;
  if (!data.rows || !["stat", "gauge", "timeseries", "bar"].includes(panel.kind)) return !data.rows;
  return panel.columns.filter((column) => column.type === "number").every((column) => data.columns[column.name].every((value) => value === null || (panel.zero_is_nothing && value === 0)));
}

// Names for an axis, as short as they can still be told apart: without the kind of device, and long ones without their
// middle. The whole name is in the hover and in the table.
const LONGEST = 16;
export function shortNames(names) {
  const bare = names.map((name) => deviceName(name, "any"));
  const cut = bare.map((name) => name.length > LONGEST ? `${name.slice(0, LONGEST / 2 - 1)}…${name.slice(-LONGEST / 2)}` : name);
  const different = (some) => new Set(some).size;
  return [cut, bare].find((some) => different(some) === different(names)) ?? names;
}
const named = (names, more = {}) => axis({ type: "category", tickmode: "array", tickvals: names, ticktext: shortNames(names), ...more });
// A few names stand upright, in two lines if need be.
const FEW = 8;
const upright = (names) => names.length > FEW ? {} : { tickangle: 0, ticktext: shortNames(names).map((name) => names.length > FEW / 2 ? name.replace(/ (?=[^ ]+$)/, "<br>") : name) };

const titleOf = (column) => column.title ?? column.name;
const unitOf = (panel, column) => column.unit ?? panel.unit;
const instant = (value) => value < SECONDS_BELOW ? value * 1000 : value;

// A threshold's level is what Grafana's colour is there.
function levelOf(panel, value) {
  const mapped = panel.mappings.find((each) => each.value === value);
  if (mapped) return mapped.level;
  let level = null;
  if (typeof value === "number") for (const each of panel.thresholds) if (each.at === null || value >= each.at) level = each.level;
  return level;
}
const worded = (panel, column, value) => panel.mappings.find((each) => each.value === value)?.text ?? figure(value, unitOf(panel, column), column.decimals ?? panel.decimals);
const MARKS = { good: "✓", warning: "!", bad: "✗" };

function stat(body, panel, data) {
  const numbers = panel.columns.filter((column) => column.type === "number");
  body.replaceChildren(make("dl", { class: "figures" }, numbers.map((column) => {
    const value = data.columns[column.name][0], level = levelOf(panel, value);
    return make("div", { class: level ?? "neutral" }, make("dt", {}, titleOf(column)), make("dd", {}, worded(panel, column, value), MARKS[level] && level !== "good" ? make("span", { class: "mark" }, ` ${MARKS[level]}`, make("span", { class: "sr" }, level)) : null));
  })));
}

function gauge(body, panel, data) {
  const column = panel.columns.find((each) => each.type === "number"), value = data.columns[column.name][0];
  const [low, high] = [panel.scale[0] ?? 0, panel.scale[1] ?? 100], level = levelOf(panel, value);
  const share = (at) => Math.min(Math.max((at - low) / (high - low), 0), 1) * 100;
  const bounds = panel.thresholds.map((each, at) => ({ level: each.level, from: each.at === null ? 0 : share(each.at), to: at + 1 < panel.thresholds.length ? share(panel.thresholds[at + 1].at) : 100 }));
  body.replaceChildren(make("div", { class: `dial ${level ?? "neutral"}`, role: "img", "aria-label": `${titleOf(column)}: ${figure(value, unitOf(panel, column), panel.decimals)}${level ? `, ${level}` : ""}` },
    make("p", {}, figure(value, unitOf(panel, column), panel.decimals), MARKS[level] ? make("span", { class: "mark" }, ` ${MARKS[level]}`) : null),
    make("div", { class: "track" }, bounds.map((each) => make("span", { class: each.level, style: `left: ${each.from}%; width: ${each.to - each.from}%` })), value === null ? null : make("b", { style: `left: ${share(value)}%` })),
    make("div", { class: "ends" }, make("span", {}, figure(low, unitOf(panel, column))), make("span", {}, figure(high, unitOf(panel, column))))));
}

function asTable(body, panel, data, { open }) {
  const columns = panel.columns.filter((column) => data.columns[column.name]);
  const rows = [];
  for (let at = 0; at < Math.min(data.rows, ROWS); at++) {
    rows.push(columns.map((column) => {
      const value = data.columns[column.name][at];
      if (column.type === "time") return value === null ? "–" : new Date(instant(value)).toISOString().slice(0, 19).replace("T", " ");
      const link = panel.links.find((each) => each.column === column.name && each.variable);
      if (link && value !== null) return make("button", { type: "button", class: "link", title: link.title, onclick: () => open(link.dashboard, { [link.variable]: value }) }, deviceName(value, column.name));
      if (column.type === "text" && value !== null) return deviceName(value, column.name);
      const level = column.judged ? levelOf(panel, value) : null;
      return level && level !== "neutral" ? make("span", { class: level }, worded(panel, column, value)) : worded(panel, column, value);
    }));
  }
  const view = table(columns.map(titleOf), rows, { caption: panel.title, numeric: columns.map((column) => column.type === "number") });
  body.replaceChildren(view, ...data.rows > ROWS ? [make("p", { class: "remark" }, `the first ${ROWS} of ${data.rows.toLocaleString("en")} rows`)] : []);
}

const base = (body) => ({
  autosize: true, margin: { l: 52, r: 12, t: 28, b: 34 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  font: { color: ink("soft"), size: parseFloat(getComputedStyle(body).fontSize) * 0.82, family: "system-ui, sans-serif" },
  colorway: LINES.map(ink), showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "x unified", hoverlabel: { bgcolor: ink("card"), bordercolor: ink("rule"), font: { color: ink("ink") } },
});
const axis = (more) => ({ gridcolor: ink("grid"), linecolor: ink("rule"), zeroline: false, automargin: true, ...more });
// Seconds, where they are many, are minutes or hours.
const longest = (most) => most >= 10800 ? { name: "h", s: 3600 } : most >= 180 ? { name: "min", s: 60 } : { name: "s", s: 1 };
const most = (data, names) => Math.max(0, ...names.flatMap((name) => data.columns[name]).filter((value) => typeof value === "number"));
const scaled = (panel, values, largest) => panel.unit === "s" ? values.map((value) => value === null ? null : value / longest(largest).s) : values;
function valueAxis(panel, most) {
  const words = panel.unit === "s" ? { suffix: ` ${longest(most).name}` } : AXIS[panel.unit] ?? {};
  const [low, high] = panel.scale;
  return axis({ ticksuffix: words.suffix, tickformat: words.format, rangemode: low === 0 ? "tozero" : "normal", range: low !== null && high !== null ? [low, high] : undefined });
}
// Lines where a value begins to be bad or to need attention.
const limits = (panel) => panel.thresholds.flatMap((each, at) => each.at === null || at === 0 ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: each.at, y1: each.at, line: { color: ink(each.level === "good" ? panel.thresholds[at - 1].level : each.level), width: 1, dash: "dot" }, layer: "below" }]);
const shown = (panel, data, names) => {
  const values = names.flatMap((name) => data.columns[name]).filter((value) => typeof value === "number");
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (panel.unit === "s") return [];
  return limits(panel).filter(({ y0 }) => y0 >= Math.min(least, 0) && y0 <= most * 1.6);
};

async function plot(body, panel, traces, layout, label) {
  const library = await plotly();
  let figureElement = body.querySelector(".chart");
  if (!figureElement) { figureElement = make("div", { class: "chart", role: "img" }); body.replaceChildren(figureElement); }
  figureElement.setAttribute("aria-label", label);
  await library.react(figureElement, traces, layout, { displayModeBar: false, responsive: true, showTips: false });
}

async function timeseries(body, panel, data) {
  const times = data.columns.time.map(instant);
  let lines;
  if (panel.columns.some((column) => column.name === "metric")) {
    const metrics = [...new Set(data.columns.metric)];
    lines = metrics.map((metric) => { const rows = times.map((_, at) => at).filter((at) => data.columns.metric[at] === metric); return { name: metric, x: rows.map((at) => times[at]), y: rows.map((at) => data.columns.value[at]) }; });
  } else lines = panel.columns.filter((column) => column.type === "number").map((column) => ({ name: titleOf(column), x: times, y: data.columns[column.name] }));
  const few = new Set(times).size < 3;
  const traces = lines.map((line) => ({ ...line, type: "scatter", mode: few ? "lines+markers" : "lines", line: { width: 2, shape: panel.stepped ? "hv" : "linear" }, stackgroup: panel.stacked ? "all" : undefined }));
  const values = panel.columns.filter((column) => column.type === "number").map((column) => column.name), largest = most(data, values);
  for (const trace of traces) trace.y = scaled(panel, trace.y, largest);
  await plot(body, panel, traces, { ...base(body), xaxis: axis({ type: "date", range: [data.from_ms, data.to_ms] }), yaxis: valueAxis(panel, largest), shapes: shown(panel, data, values) },
    `${panel.title}: ${lines.map((line) => `${line.name} last ${figure(line.y.findLast((value) => value !== null) ?? null, panel.unit, panel.decimals)}`).join(", ")}`);
}

async function bar(body, panel, data, options) {
  const label = panel.columns[0], bars = panel.columns.slice(1);
  if (data.rows > LABELS) { asTable(body, panel, data, options); return; }
  const names = data.columns[label.name].map(String);
  const largest = most(data, bars.map((column) => column.name));
  const traces = bars.map((column) => ({ type: "bar", name: titleOf(column), x: names, y: scaled(panel, data.columns[column.name], largest), customdata: names, hovertemplate: `%{customdata}: %{y}<extra>${titleOf(column)}</extra>` }));
  await plot(body, panel, traces, { ...base(body), barmode: panel.stacked ? "stack" : "group", bargap: 0.25, hovermode: "x", xaxis: named(names, upright(names)), yaxis: valueAxis(panel, largest), shapes: shown(panel, data, bars.map((column) => column.name)), showlegend: bars.length > 1 },
    `${panel.title}: ${data.rows} bars`);
}

async function states(body, panel, data) {
  const times = data.columns.time.map(instant), metrics = [...new Set(data.columns.metric)];
  const segments = new Map(panel.mappings.map((each) => [each.value, { name: each.text, level: each.level, x: [], base: [], y: [] }]));
  for (const metric of metrics) {
    const rows = times.map((_, at) => at).filter((at) => data.columns.metric[at] === metric).sort((a, b) => times[a] - times[b]);
    rows.forEach((at, number) => {
      const from = Math.max(times[at], data.from_ms), until = number + 1 < rows.length ? times[rows[number + 1]] : data.to_ms;
      const segment = segments.get(data.columns.value[at]);
      if (segment && until > from) { segment.base.push(from); segment.x.push(until - from); segment.y.push(metric); }
    });
  }
  const traces = [...segments.values()].filter((each) => each.x.length).map(({ name, level, x, base: from, y }) => ({ type: "bar", orientation: "h", name, x, base: from, y, width: Math.min(0.65, 0.16 * metrics.length), marker: { color: ink(`state-${level}`) }, hovertemplate: `%{y}: ${name}<extra></extra>` }));
  await plot(body, panel, traces, { ...base(body), barmode: "overlay", bargap: 0.35, hovermode: "closest", xaxis: axis({ type: "date", range: [data.from_ms, data.to_ms] }), yaxis: named(metrics, { autorange: "reversed" }) },
    `${panel.title}: ${metrics.length} rows`);
}

// A map of its own kind: east and south are scaled alike about the middle.
function points(body, panel, data, { open }) {
  const { latitude, longitude, name, value } = data.columns;
  const middle = Math.cos(latitude.reduce((sum, each) => sum + each, 0) / latitude.length * Math.PI / 180);
  let canvas = body.querySelector("canvas");
  if (!canvas) {
    canvas = make("canvas", { class: "points", tabindex: "0", role: "img" });
    const legend = make("ul", { class: "legend" }), said = make("p", { class: "remark", "aria-live": "polite" });
    body.replaceChildren(canvas, legend, said);
    canvas.map = new PointMap(canvas, { colours: () => ({ ink: ink("ink"), paper: ink("card"), soft: ink("soft") }), onPick: (at) => canvas.pick(at) });
  }
  const keys = panel.mappings.length ? panel.mappings.map((each) => ({ words: each.text, level: each.level, of: (it) => it === each.value }))
    : panel.thresholds.map((each, at) => ({ words: wordsOf(panel, at), level: each.level, of: (it) => it !== null && (each.at === null || it >= each.at) && !(panel.thresholds[at + 1] && it >= panel.thresholds[at + 1].at) }));
  const shapes = { good: { shape: "dot" }, neutral: { shape: "dot" }, warning: { shape: "triangle", grow: 1.4, least: 2.8, order: 2 }, bad: { shape: "square", grow: 1.3, least: 2.6, order: 3 } };
  const category = Uint8Array.from(value, (it) => Math.max(keys.findIndex((each) => each.of(it)), 0));
  const column = panel.columns.find((each) => each.name === "value"), link = panel.links.find((each) => each.column === "name");
  canvas.pick = (at) => {
    canvas.map.choose(at, { show: false });
    body.lastChild.replaceChildren(...at < 0 ? [] : [`${name[at]}: ${worded(panel, column, value[at])} `, link ? make("button", { type: "button", class: "link", onclick: () => open(link.dashboard, { [link.variable]: name[at] }) }, link.title) : ""]);
  };
  if (canvas.count !== value.length) { canvas.count = value.length; canvas.map.setScene({ x: longitude.map((each) => each * middle * 1e6), y: latitude.map((each) => -each * 1e6) }); }
  canvas.map.setState(category, keys.map((each) => ({ ...shapes[each.level], colour: ink(`state-${each.level}`) })));
  const counts = keys.map((_, at) => category.reduce((sum, each) => sum + (each === at ? 1 : 0), 0));
  body.querySelector(".legend").replaceChildren(...keys.flatMap((each, at) => counts[at] ? [make("li", { class: each.level }, make("i", { "aria-hidden": "true" }, { dot: "●", triangle: "▲", square: "■" }[shapes[each.level].shape]), ` ${each.words} `, make("b", {}, counts[at].toLocaleString("en")))] : []));
  canvas.setAttribute("aria-label", `${panel.title}: ${keys.flatMap((each, at) => counts[at] ? [`${counts[at]} ${each.words}`] : []).join(", ")}`);
}

function wordsOf(panel, at) {
  const here = panel.thresholds[at].at, next = panel.thresholds[at + 1]?.at;
  const words = (value) => figure(value, panel.unit);
  if (here === null) return next === undefined ? "any" : `below ${words(next)}`;
  return next === undefined ? `from ${words(here)}` : `${words(here)} – ${words(next)}`;
}
