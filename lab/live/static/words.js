// Figures, times and elements.
const two = (value) => String(value).padStart(2, "0");

export function clock(seconds, { day = true } = {}) {
  const date = new Date(seconds * 1000);
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return day ? `${date.toISOString().slice(0, 10)} ${time}` : time;
}

export function lasting(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
}

export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const number = (value, decimals, most = 2) => value.toLocaleString("en", decimals == null
  ? { maximumFractionDigits: Math.abs(value) >= 100 ? Math.min(most, 1) : most } : { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
const SCALES = ["", "k", "M", "G", "T"];
function scaled(value, unit, decimals) {
  let power = 0;
  while (Math.abs(value) >= 1000 && power < SCALES.length - 1) { value /= 1000; power++; }
  return `${number(value, decimals)} ${SCALES[power]}${unit}`;
}

// Units by their names in Grafana.
export function figure(value, unit = "short", decimals = null) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  switch (unit) {
    case "percent": return `${number(value, decimals, 1)} %`;
    case "percentunit": return `${number(value * 100, decimals, 1)} %`;
    case "s": return Math.abs(value) < 1 && value !== 0 ? `${number(value * 1000, decimals, 1)} ms` : value >= 120 ? lasting(value) : `${number(value, decimals, 1)} s`;
    case "ms": return `${number(value, decimals, 1)} ms`;
    case "m": return `${number(value, decimals)} min`;
    case "watth": return scaled(value, "Wh", decimals);
    case "watt": return scaled(value, "W", decimals);
    case "volt": return `${number(value, decimals, 1)} V`;
    case "amp": return `${number(value, decimals, 2)} A`;
    default: return number(value, decimals);
  }
}

export const AXIS = { percent: { suffix: " %" }, percentunit: { format: ".0%" }, s: { suffix: " s" }, ms: { suffix: " ms" }, m: { suffix: " min" }, watth: { suffix: "Wh", format: "~s" }, watt: { suffix: "W", format: "~s" }, volt: { suffix: " V" }, amp: { suffix: " A" } };

// A device for people: `section 5-S02`, not `section:5-S02`; where its kind is clear anyway, `5-S02`.
const KIND = /^(transformer|section|line|service):/;
export const deviceName = (name, clear = null) => String(name).replace(KIND, (_, kind) => clear === kind || clear === "any" ? "" : `${kind} `);

// <tag attributes>children</tag>; text is never markup.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function table(headings, rows, { caption = null, numeric = [] } = {}) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption ?? "Table" }, make("table", {},
    caption ? make("caption", { class: "sr" }, caption) : null,
    make("thead", {}, make("tr", {}, headings.map((text, at) => make("th", { scope: "col", class: numeric[at] ? "number" : null }, text)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, at) => make("td", { class: numeric[at] ? "number" : null }, cell instanceof Node ? cell : String(cell))))))));
}

export const by = (id) => document.getElementById(id);
export const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
