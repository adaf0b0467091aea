// The view of the feeder: map, legend, counts, the chosen meter, and all of it as a table.
import { bytes, get } from "./api.js";
import { affected, DARK, DISCONNECTED, GASPED, inWords, layer, OFFLINE, ONLINE, OUT, PHASE_TOLD, routeInWords, routeLayer, TO_COLLECTOR, volts } from "./layers.js";
import { PointMap } from "./map.js";
import { by, counted, ink, make, table } from "./words.js";

const DECIMETRES = 10;
const ROWS = 300;
const LOOK_AGAIN_S = 60;
const ROUTED = ["network", "signal"];

export class Feeder {
  constructor({ inject, openMeter, complain }) {
    this.inject = inject;
    this.complain = complain;
    this.routes = null;
    this.openMeter = openMeter;
    this.hidden = [];
    this.version = -1;
    this.chosen = -1;
    this.shown = new Promise((shown) => { this.isShown = shown; });
    this.flags = new Uint8Array(0);
    this.lacking = new Uint8Array(0);
    this.voltage = new Uint16Array(0);
    this.map = new PointMap(by("map-canvas"), {
      unitsPerMetre: DECIMETRES,
      colours: () => ({ ink: ink("ink"), paper: ink("card"), soft: ink("soft") }),
      onPick: (index) => this.choose(index),
      onDrawn: () => { if (this.flags.length) this.isShown(); },
      onNext: () => this.next(),
    });
    by("layers").addEventListener("change", () => this.#changeLayer().catch(this.complain));
    by("fit").addEventListener("click", () => this.map.fit());
    by("as-table").addEventListener("click", () => this.toggleTable());
    by("search").addEventListener("submit", (event) => { event.preventDefault(); this.find(by("search-text").value); });
  }

  async open() {
    this.scene = await get("scene");
    const { scene } = this;
    const courses = (lines) => {
      const path = new Path2D();
      for (const line of lines) for (let i = 0; i < line.length; i += 2) i ? path.lineTo(line[i], line[i + 1]) : path.moveTo(line[i], line[i + 1]);
      return path;
    };
    const bare = new Path2D();
    for (let i = 0; i < scene.bare.length; i += 2) { bare.moveTo(scene.bare[i], scene.bare[i + 1]); bare.lineTo(scene.bare[i] + 1, scene.bare[i + 1]); }
    this.map.setScene({ x: scene.x, y: scene.y, lines: [
      { path: courses(scene.low_voltage), colour: () => ink("line"), width: 1 },
      { path: courses(scene.medium_voltage), colour: () => ink("line-strong"), width: 1.6 },
      { path: bare, colour: () => ink("rule"), width: 3 },
    ] });
    this.bySerial = new Map(scene.serials.map((serial, at) => [serial.toLowerCase(), at]));
    scene.usage_points.forEach((point, at) => this.bySerial.set(point.toLowerCase(), at));
    this.collectorOf = new Int32Array(scene.serials.length).fill(-1);
    scene.collectors.forEach((collector, at) => collector.meters.forEach((meter) => { this.collectorOf[meter] = at; }));
    scene.transformers.forEach((each) => { each.meters = []; });
    scene.transformer.forEach((at, meter) => scene.transformers[at].meters.push(meter));
    by("scenario").textContent = scene.scenario.name;
    by("feeder").textContent = `${scene.feeder}, ${counted(scene.serials.length, "meter")}, seed ${scene.scenario.seed}`;
    by("scheme").hidden = !scene.scheme;
    for (const id of ["network-layer", "signal-layer"]) by(id).hidden = !scene.network;
    return scene;
  }

  // state: of the stream. Fetches the map only when it is another one.
  async update(state) {
    const changed = state.hidden.join() !== this.hidden.join();
    this.hidden = state.hidden;
    // What disturbs the network begins and ends without another state of the grid.
    const due = this.#routed() && !(Math.abs(state.completed_s - this.routedAt) < LOOK_AGAIN_S);
    if (state.map === this.version && !changed && !due) return;
    this.version = state.map;
    if (this.fetching) { this.again = true; return; }
    this.fetching = true;
    try {
      do {
        this.again = false;
        const buffer = await bytes("map");
        const count = this.scene.serials.length;
        this.flags = new Uint8Array(buffer, 0, count);
        this.lacking = new Uint8Array(buffer, count, count);
        this.voltage = new Uint16Array(buffer, 2 * count, count);
        if (this.#routed()) { this.routes = await get("network"); this.routedAt = state.completed_s; }
      } while (this.again);
    } catch (error) {
      this.version = -1;
      throw error;
    } finally { this.fetching = false; }
    this.draw();
  }

  #routed() { return ROUTED.includes(document.querySelector("input[name=layer]:checked").value); }

  // Ways over the network change with the supply; they are asked for where somebody looks at them.
  async #changeLayer() {
    if (this.#routed()) this.routes = await get("network");
    this.draw();
  }

  draw() {
    const chosen = document.querySelector("input[name=layer]:checked").value;
    const routed = this.routes && ROUTED.includes(chosen), name = ROUTED.includes(chosen) && !routed ? "communication" : chosen;
    const { styles, of } = routed ? routeLayer(name, this.routes) : layer(name, this.hidden);
    const category = new Uint8Array(this.flags.length), counts = new Array(styles.length).fill(0);
    for (let i = 0; i < category.length; i++) counts[category[i] = routed ? of(i) : of(this.flags[i], this.voltage[i], this.lacking[i])]++;
    this.map.setState(category, styles.map((style) => ({ ...style, colour: ink(style.colour) })), this.#devices(name), routed ? this.#ways(category, styles) : []);
    by("legend").replaceChildren(...styles.flatMap((style, at) => counts[at] || at < 2 ? [make("li", {}, swatch(style), `${style.words} `, make("b", { "data-count": style.key }, counts[at].toLocaleString("en")))] : []));
    const canvas = by("map-canvas");
    styles.forEach((style, at) => { canvas.dataset[style.key] = counts[at]; });
    canvas.dataset.layer = name;
    const summary = styles.flatMap((style, at) => counts[at] ? [`${counts[at]} ${style.words}`] : []).join(", ");
    if (by("map-summary").textContent !== summary) by("map-summary").textContent = summary;
    if (name === "voltage" && this.hidden.includes("truth")) by("map-summary").textContent = "voltage is hidden while the exercise goes on";
    this.#card();
    if (!by("map-table").hidden) this.#table();
  }

  // From each meter to the neighbour that relays it, or to its collector, in its own colour.
  #ways(category, styles) {
    const { scene, routes } = this;
    const paths = styles.map(() => new Path2D());
    routes.parent.forEach((parent, at) => {
      const collector = parent === TO_COLLECTOR ? scene.collectors[this.collectorOf[at]] : null;
      if (parent < 0 && !collector) return;
      const [x, y] = collector ? [collector.x, collector.y] : [scene.x[parent], scene.y[parent]];
      paths[category[at]].moveTo(scene.x[at], scene.y[at]);
      paths[category[at]].lineTo(x, y);
    });
    return paths.map((path, at) => ({ path, colour: () => ink(styles[at].colour), width: 1.1 }));
  }

  // Transformers and collectors as devices: by the state of whom they serve.
  #devices(name) {
    const { scene, flags, voltage } = this;
    const marks = [];
    const share = (meters, test) => meters.reduce((sum, meter) => sum + (test(meter) ? 1 : 0), 0) / Math.max(meters.length, 1);
    const dark = this.hidden.includes("truth") ? OUT | GASPED : DARK;
    for (const each of scene.transformers) {
      if (each.x === null || !each.meters.length) continue;
      let colour = ink("station");
      if (name === "supply" && share(each.meters, (meter) => flags[meter] & dark) === 1) colour = ink("dark");
      if (["communication", ...ROUTED].includes(name) && share(each.meters, (meter) => flags[meter] & OFFLINE) > 0.5) colour = ink("offline");
      if (name === "voltage") {
        const known = each.meters.map((meter) => voltage[meter]).filter((value) => value);
        const { styles, of } = layer("voltage", this.hidden);
        if (known.length) colour = ink(styles[of(0, known.reduce((a, b) => a + b) / known.length)].colour);
      }
      marks.push({ x: each.x, y: each.y, shape: "triangle", radius: 7, colour, label: each.name });
    }
    for (const each of scene.collectors) {
      const secret = this.hidden.includes("collectors");
      const gone = !secret && share(each.meters, (meter) => flags[meter] & OFFLINE) > 0.9;
      const heard = !secret && share(each.meters, (meter) => flags[meter] & ONLINE) > 0;
      const colour = gone ? ink("offline") : heard ? ink("online") : ink("station");
      marks.push({ x: each.x, y: each.y, shape: "square", radius: 6, colour, fill: gone ? colour : undefined, label: each.name });
    }
    return marks;
  }

  find(text) {
    const found = this.bySerial.get(text.trim().toLowerCase());
    if (found === undefined) { by("map-summary").textContent = `no meter ${text}`; by("search-text").setAttribute("aria-invalid", "true"); return; }
    by("search-text").removeAttribute("aria-invalid");
    this.choose(found);
  }

  next() {
    for (let step = 1; step <= this.flags.length; step++) {
      const at = (Math.max(this.chosen, -1) + step) % this.flags.length;
      if (this.#affected(at)) { this.choose(at); return; }
    }
    by("map-summary").textContent = "no meter is affected";
  }

  choose(index) {
    this.chosen = index;
    this.map.choose(index);
    this.#card();
    this.onChoose?.(index);
  }

  target() {
    const { chosen, scene } = this;
    if (chosen < 0) return null;
    const collector = this.collectorOf[chosen];
    return { serial: scene.serials[chosen], point: scene.usage_points[chosen], section: scene.section[chosen],
      cell: scene.network?.cells[scene.network.cell[chosen]] ?? null, transformer: scene.transformers[scene.transformer[chosen]].name, collector: collector < 0 ? null : scene.collectors[collector].name };
  }

  #card() {
    const card = by("meter"), target = this.target();
    card.hidden = target === null;
    if (target === null) return;
    const flags = this.flags[this.chosen] ?? 0;
    const words = inWords(flags, this.lacking[this.chosen] ?? 0, this.hidden);
    const way = this.routes && this.#routed() ? routeInWords(this.routes, this.chosen) : {}, told = JSON.stringify(way);
    if (card.dataset.serial === target.serial && card.dataset.words === words && card.dataset.voltage === String(this.voltage[this.chosen]) && card.dataset.way === told) return;
    Object.assign(card.dataset, { serial: target.serial, words, voltage: this.voltage[this.chosen], way: told });
    const row = (name, value) => value ? [make("dt", {}, name), make("dd", {}, value)] : [];
    const next = way.next >= 0 ? make("button", { type: "button", class: "link", onclick: () => this.choose(way.next) }, this.scene.serials[way.next]) : way.next === TO_COLLECTOR ? "its collector" : null;
    const button = (text, body) => make("button", { type: "button", onclick: () => this.inject(body) }, text);
    card.replaceChildren(
      make("h2", { id: "meter-title" }, target.serial),
      make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.choose(-1) }, "×"),
      make("p", { class: "words" }, words),
      make("dl", {}, row("usage point", target.point), row("vendor", this.scene.vendors[this.scene.vendor[this.chosen]]), row("phases", this.scene.phases[this.chosen]), row("transformer", target.transformer), row("section", target.section),
        row("reports through", target.collector), row("voltage", this.hidden.includes("truth") ? null : flags & DARK ? "none" : volts(this.voltage[this.chosen])),
        row("way", way.way), row("hops", way.hops && String(way.hops)), row("relayed by", next), row("lost on the way there", way.lost), row("signal there", way.signal && `${way.signal} dBm`), row("cell", way.cell), row("coupling loss", way.coupling && `${way.coupling} dB`)),
      make("div", { class: "buttons" },
        button("Fault: service", { kind: "fault", device: "service", id: target.point }),
        button("Open neutral: service", { kind: "fault", device: "service", conductor: "N", id: target.point }),
        target.section ? button("Fault: section", { kind: "fault", device: "section", id: target.section }) : null,
        target.transformer ? button("Fault: transformer", { kind: "fault", device: "transformer", id: target.transformer }) : null,
        button("Lose comms", { kind: "comms-loss", stations: [target.serial] }),
        button("Reboot", { kind: "reboot", stations: [target.serial] }),
        this.scene.relay[this.chosen] ? flags & DISCONNECTED ? button("Close relay", { kind: "relay", position: "closed", stations: [target.serial] }) : button("Open relay", { kind: "relay", position: "open", stations: [target.serial] }) : null,
        make("button", { type: "button", onclick: () => this.openMeter(target.point) }, "Open its dashboard")));
  }

  // The map's ways over the network in figures, while one looks at them.
  #byCollector() {
    const { scene, routes } = this;
    if (!routes || !this.#routed()) return [];
    const rows = scene.collectors.map((each) => {
      const reached = each.meters.filter((meter) => routes.parent[meter] >= 0 || routes.parent[meter] === TO_COLLECTOR);
      const hops = reached.map((meter) => routes.hops[meter]).sort((a, b) => a - b);
      const lost = reached.reduce((sum, meter) => sum + 100 - routes.through[meter], 0) / Math.max(reached.length, 1);
      return [each.name, each.meters.length, each.meters.length - reached.length, hops[Math.floor((hops.length - 1) / 2)] ?? "–", hops.at(-1) ?? "–", reached.length ? `${lost.toFixed(1)} %` : "–"];
    });
    return [make("h2", {}, "By collector"), table(["collector", "meters", "without a way", "hops, median", "most hops", "lost to the next hop, mean"], rows, { caption: "Ways over the network by collector", numeric: [false, true, true, true, true, true] })];
  }

  #affected(at) { return affected(this.hidden.includes("outages") ? this.flags[at] & ~OUT : this.flags[at], this.lacking[at]); }

  toggleTable() {
    const shown = by("map-table").hidden;
    by("map-table").hidden = !shown;
    by("as-table").setAttribute("aria-pressed", String(shown));
    if (shown) { this.#table(); by("map-table").scrollIntoView({ block: "nearest" }); }
  }

  #table() {
    const { scene, flags, lacking, voltage } = this;
    const secret = this.hidden.includes("truth"), dark = secret ? OUT | GASPED : DARK;
    const count = (meters, bit) => meters.filter((meter) => flags[meter] & bit).length;
    const transformers = scene.transformers.filter((each) => each.meters.length).map((each) => {
      const known = each.meters.map((meter) => voltage[meter]).filter((value) => value);
      return [each.name, each.meters.length, count(each.meters, dark), each.meters.filter((meter) => secret ? flags[meter] & PHASE_TOLD : lacking[meter]).length, count(each.meters, OFFLINE), known.length ? volts(known.reduce((a, b) => Math.min(a, b))) : "–"];
    });
    const hit = scene.serials.map((_, at) => at).filter((at) => this.#affected(at));
    const rows = hit.slice(0, ROWS).map((at) => [
      make("button", { type: "button", class: "link", onclick: () => this.choose(at) }, scene.serials[at]), scene.usage_points[at],
      scene.transformers[scene.transformer[at]].name, scene.section[at] ?? "–", inWords(flags[at], lacking[at], this.hidden)]);
    by("map-table").replaceChildren(
      ...this.#byCollector(), make("h2", {}, "By transformer"), table(["transformer", "meters", secret ? "said to be dark" : "dark", secret ? "told of a lost phase" : "a phase missing", "cannot be reached", "lowest voltage"], transformers, { caption: "Meters by transformer", numeric: [false, true, true, true, true, true] }),
      make("h2", {}, hit.length > ROWS ? `Affected meters, the first ${ROWS} of ${hit.length.toLocaleString("en")}` : "Affected meters"),
      hit.length ? table(["meter", "usage point", "transformer", "section", "state"], rows, { caption: "Affected meters" }) : make("p", {}, "None."));
  }
}

function swatch({ colour, shape, hollow }) {
  const shapes = { dot: "<circle cx='7' cy='7' r='4.5'/>", square: "<rect x='2.5' y='2.5' width='9' height='9'/>", diamond: "<path d='M7 1.5 12.5 7 7 12.5 1.5 7z'/>", triangle: "<path d='M7 2 12.5 11.5h-11z'/>", wedge: "<path d='M7 12 12.5 2.5h-11z'/>", cross: "<path d='M2.5 2.5l9 9m0-9l-9 9' fill='none'/>" };
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  mark.setAttribute("viewBox", "0 0 14 14");
  mark.setAttribute("aria-hidden", "true");
  mark.setAttribute("class", `swatch ${hollow ? "hollow" : ""} ${shape}`);
  mark.style.setProperty("--swatch", `var(--${colour})`);
  mark.innerHTML = shapes[shape];
  return mark;
}
