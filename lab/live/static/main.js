// Brings the views together, and keeps them up to date with the lab's stream.
import { again, follow, get, post } from "./api.js";
import { Banner } from "./banner.js";
import { Feeder } from "./feeder.js";
import { Dashboards } from "./dashboards.js";
import { Side, Training } from "./side.js";
import { showVerdict } from "./verdict.js";
import { by, clock, counted, make } from "./words.js";

let state = null, heardAt = 0;

// What went wrong, or was done, for a moment.
let fading;
function say(text, tone = "bad") {
  const alert = by("alert");
  alert.textContent = text;
  alert.className = tone;
  alert.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { alert.hidden = true; }, tone === "bad" ? 12000 : 4000);
}
// A lab that has ended answers nothing, which the banner says.
const complain = (error) => { if (!state?.ended) say(error.message); };

async function inject(body) {
  try {
    const made = await post("inject", body);
    say(made.map((each) => `${body.kind === "restore" ? "restored: " : ""}${each.label}`).join("; "), "good");
  } catch (error) { complain(error); }
}

const feeder = new Feeder({ inject, openMeter: (point) => { location.hash = `amilab-meter?usage_point=${encodeURIComponent(point)}`; }, complain });
const side = new Side({ inject, target: () => feeder.scene ? feeder.target() : null, network: () => feeder.scene?.network ?? null });
feeder.onChoose = () => side.offer();
const training = new Training(complain);
const dashboards = new Dashboards();
const banner = new Banner(again);

// Views.
function route() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  const uid = dashboards.has(name) ? name : null;
  const view = uid ? "dashboard" : name === "verdict" ? "verdict" : "map";
  for (const each of ["map", "dashboard", "verdict"]) by(`${each}-view`).hidden = each !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${uid ?? view}`) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `amilab: ${uid ? dashboards.title(uid) : view}`;
  if (uid) dashboards.show(uid, Object.fromEntries(new URLSearchParams(query))).catch(complain); else dashboards.leave();
  if (view === "map" && feeder.scene) feeder.map.refresh();
}

function tabs() {
  const link = (hash, text) => make("li", {}, make("a", { href: `#${hash}` }, text));
  by("tabs").replaceChildren(link("map", "Map"), ...dashboards.all.map((each) => link(each.uid, each.title)), link("verdict", "Verdict"));
}

// The clock goes on between two words of the lab.
function tick() {
  if (!state) return;
  const on = state.speed && state.phase === "living" ? Math.min((performance.now() - heardAt) / 1000, 3) * state.speed : 0;
  by("clock").textContent = clock(state.now_s + on);
}
setInterval(tick, 250);

function told(next) {
  state = next;
  heardAt = performance.now();
  tick();
  banner.heard(state);
  const phase = by("phase"), words = state.lagging || (state.phase === "living" ? (state.speed === 0 ? "paused" : "") : state.phase);
  if (phase.textContent !== words) phase.textContent = words;
  phase.className = `pill ${state.lagging ? "bad" : words && !state.ended ? "warning" : "quiet"}`;
  const speed = by("speed");
  if (document.activeElement !== speed) {
    const value = state.speed === null ? "max" : String(state.speed);
    if (![...speed.options].some((option) => option.value === value)) speed.append(make("option", { value }, `${value} ×`));
    speed.value = value;
  }
  const { counts } = state;
  const figures = [["meters", counts.meters], ...(state.hidden.includes("truth") ? [] : [["without supply", counts.dark, "bad"], ["a phase missing", counts.phase_missing, "warning"], ["disconnected", counts.disconnected]]), ["last gasp, not back", counts.gasped, "bad"],
    ...(state.hidden.includes("outages") ? [] : [["in outages found", counts.out, "bad"]]), ["cannot be reached", counts.offline, "warning"]];
  by("counts").replaceChildren(...figures.map(([name, value, tone]) => make("div", { class: value && tone ? tone : null }, make("dt", {}, name), make("dd", { "data-figure": name }, value.toLocaleString("en")))));
  side.incidents(state);
  side.events(state.hidden).catch(complain);
  training.update(state).catch(complain);
  showVerdict(state);
  feeder.update(state).catch(complain);
  dashboards.time(state);
}

by("speed").addEventListener("change", ({ target }) => post("speed", { speed: target.value === "max" ? null : Number(target.value) }).catch(complain));
by("judge").addEventListener("click", () => post("judge").catch(complain));
by("larger").addEventListener("click", ({ currentTarget }) => {
  const larger = document.documentElement.classList.toggle("larger");
  currentTarget.setAttribute("aria-pressed", String(larger));
});

const THEMES = ["auto", "light", "dark"];
function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  by("theme-word").textContent = name;
  localStorage.setItem("amilab-theme", name);
  feeder.scene && feeder.draw();
  dashboards.repaint();
}
by("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(by("theme-word").textContent) + 1) % THEMES.length]));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(by("theme-word").textContent));

const [scene, first] = await Promise.all([feeder.open(), get("state")]).catch((error) => { banner.stranger(error); throw error; });
theme(THEMES.includes(localStorage.getItem("amilab-theme")) ? localStorage.getItem("amilab-theme") : "auto");
side.offer();
told(first);
await feeder.shown;
// From asking for the page to the map with every meter on it.
document.documentElement.dataset.readyMs = Math.round(performance.now());
follow(told, (seconds, error) => banner.lost(seconds, error));
await dashboards.open();
tabs();
addEventListener("hashchange", route);
route();
document.documentElement.dataset.ready = counted(scene.serials.length, "meter");
