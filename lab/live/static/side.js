// What one does to the lab, what is active, and what happened.
import { get, post } from "./api.js";
import { by, clock, lasting, make } from "./words.js";

const LENGTHS = [["until restored", null], ["1 min", 60], ["10 min", 600], ["45 min", 2700], ["2 h", 7200]];
const SHOWN = 200;
const JAMMED_M = 200;

export class Side {
  // network: of the scene, what of the modelled network can be disturbed; null without a model.
  constructor({ inject, target, network }) {
    this.inject = inject;
    this.target = target;
    this.network = network;
    this.last = 0;
    by("lasting").replaceChildren(...LENGTHS.map(([words, value]) => make("option", { value: value ?? "" }, words)));
    by("kill-what").replaceChildren(...["headend", "broker", "database", "fleet"].map((part) => make("option", {}, part)));
    for (const form of document.querySelectorAll("form[data-inject]")) form.addEventListener("submit", (event) => { event.preventDefault(); this.#submit(form); });
    by("restore-all").addEventListener("click", () => inject({ kind: "restore" }));
    this.offer();
  }

  // The choices that depend on which meter is chosen.
  offer() {
    const target = this.target();
    const fill = (id, options) => {
      const select = by(id), before = select.value;
      select.replaceChildren(...options.map(([words, body]) => make("option", { value: JSON.stringify(body) }, words)));
      if ([...select.options].some((option) => option.value === before)) select.value = before;
    };
    const drawn = (device, customers) => ({ device, customers });
    fill("fault-what", [
      ["a transformer, drawn", drawn("transformer", [50, 200])], ["a cable section, drawn", drawn("section", [10, 60])], ["one service, drawn", drawn("service", [1, 1])],
      ...(target ? [[`transformer ${target.transformer}`, { device: "transformer", id: target.transformer }], ...(target.section ? [[`section ${target.section}`, { device: "section", id: target.section }]] : []), [`service of ${target.serial}`, { device: "service", id: target.point }]] : []),
    ]);
    fill("conductor-what", [
      ["a transformer, drawn", drawn("transformer", [50, 200])], ["a cable section, drawn", drawn("section", [10, 60])], ["a line, drawn", drawn("line", [5, 50])],
      ...(target ? [[`transformer ${target.transformer}`, { device: "transformer", id: target.transformer }], ...(target.section ? [[`section ${target.section}`, { device: "section", id: target.section }]] : []), [`service of ${target.serial}`, { device: "service", id: target.point }]] : []),
    ]);
    fill("loss-what", [["a collector, drawn", { collectors: 1 }], ["10 meters, drawn", { meters: 10 }], ...(target ? [[target.serial, { stations: [target.serial] }], ...(target.collector ? [[target.collector, { stations: [target.collector] }]] : [])] : [])]);
    fill("network-what", this.#airFaults(target));
    fill("reboot-what", [["a meter, drawn", { meters: 1 }], ["20 meters, drawn", { meters: 20 }], ["a collector, drawn", { collectors: 1 }], ...(target ? [[target.serial, { stations: [target.serial] }]] : [])]);
  }

  // Of a mesh, a cell and an operator, drawn or of the chosen meter.
  #airFaults(target) {
    const network = this.network();
    by("network-faults").hidden = !network;
    if (!network) return [];
    const load = { kind: "congestion", messages_per_s: network.busy_messages_per_s };
    const mesh = target && network.meshes.includes(target.collector) ? [[`jam the mesh of ${target.collector}`, { kind: "jam", stations: [target.collector] }], [`jam ${JAMMED_M} m around ${target.serial}`, { kind: "jam", radius_m: JAMMED_M, around: target.serial }]] : [];
    const cell = target?.cell ? [[`${target.cell} down`, { kind: "cell-down", cells: [target.cell] }], [`${target.cell} congested`, { ...load, cells: [target.cell] }], [`${target.cell.split("/")[0]} out`, { kind: "operator-outage", operator: target.cell.split("/")[0] }]] : [];
    return [
      ...(network.meshes.length ? [["a mesh jammed, drawn", { kind: "jam" }], [`${JAMMED_M} m jammed, drawn`, { kind: "jam", radius_m: JAMMED_M }]] : []),
      ...(network.cells.length ? [["a cell down, drawn", { kind: "cell-down" }], ["a cell congested, drawn", load], ["an operator out, drawn", { kind: "operator-outage" }]] : []),
      ...mesh, ...cell,
    ];
  }

  #submit(form) {
    const kind = form.dataset.inject, what = form.elements.what.value;
    const body = kind === "kill" ? { kind, part: what } : { kind, ...JSON.parse(what) };
    if (kind === "conductor") Object.assign(body, { kind: "fault", conductor: form.elements.conductor.value });
    if (["fault", "conductor", "comms-loss", "network"].includes(kind) && by("lasting").value) body.for_s = Number(by("lasting").value);
    this.inject(body);
  }

  incidents(state) {
    const secret = state.hidden.includes("truth");
    by("disturb").hidden = secret;
    const key = JSON.stringify(state.incidents.map((each) => [each.number, each.until_s]));
    if (key === this.shown) return;
    this.shown = key;
    by("active-count").textContent = state.incidents.length ? `: ${state.incidents.length}` : "";
    by("restore-all").disabled = !state.incidents.length;
    by("incidents").replaceChildren(...state.incidents.length ? state.incidents.map((each) => make("li", { "data-number": each.number },
      make("span", {}, make("b", {}, each.label), make("small", {}, ` since ${clock(each.from_s, { day: false })}${each.until_s ? `, until ${clock(each.until_s, { day: false })}` : ""}`)),
      each.kind === "kill" ? null : make("button", { type: "button", "aria-label": `Restore: ${each.label}`, onclick: () => this.inject({ kind: "restore", number: each.number }) }, "Restore"))) : [make("li", { class: "none" }, "nothing")]);
  }

  // During an exercise the lab's own events are no longer shown, after it they are again.
  async events(hidden) {
    if (this.hidden !== hidden.join()) { this.hidden = hidden.join(); this.last = 0; by("events").replaceChildren(); }
    if (this.asking) return;
    this.asking = true;
    try {
      const fresh = await get(`events?after=${this.last}`);
      const list = by("events");
      for (const event of fresh) {
        this.last = Math.max(this.last, event.number);
        const { at_s: at, number } = event;
        // The newest is on top; one that comes late goes to its place.
        const before = [...list.children].find((other) => other.dataset.at < at || (Number(other.dataset.at) === at && other.dataset.number < number));
        list.insertBefore(make("li", { class: event.tone, "data-source": event.source, "data-at": at, "data-number": number }, make("time", {}, clock(at, { day: false })), make("span", { class: "source" }, event.source), make("span", {}, event.text)), before ?? null);
      }
      while (list.children.length > SHOWN) list.lastChild.remove();
    } finally { this.asking = false; }
  }
}

export class Training {
  constructor(complain) { this.complain = complain; this.key = undefined; }

  async update(state) {
    const key = state.exercise ? `${state.exercise.name}${state.exercise.begun_s}` : "";
    if (state.debrief && this.key && !key) this.#debrief(state.debrief);
    if (key === this.key) return;
    this.key = key;
    const banner = by("exercise-banner");
    banner.hidden = !key;
    if (!key) { this.#choice(); return; }
    const { exercise } = state;
    const secrets = { truth: "the truth", outages: "the head-end's outages", collectors: "collectors" };
    banner.textContent = `Exercise: ${exercise.title}. Hidden: ${exercise.hides.map((each) => secrets[each]).join(", ")}.`;
    const form = make("form", { class: "questions" },
      make("h3", {}, exercise.title), make("p", {}, exercise.briefing), make("p", { class: "remark" }, `begun at ${clock(exercise.begun_s, { day: false })}, ${exercise.points} points`),
      exercise.questions.map((question) => question.options.length
        ? make("fieldset", {}, make("legend", {}, question.text), [...question.options.map((option) => [option, option]), ["-", "I do not know"]].map(([value, words]) => make("label", {}, make("input", { type: "radio", name: question.key, value }), words)))
        : make("label", {}, question.text, make("input", { name: question.key, autocomplete: "off", inputmode: question.kind === "number" ? "numeric" : null }))),
      make("div", { class: "buttons" }, make("button", { type: "submit", class: "main" }, "Answer"), make("button", { type: "button", onclick: () => post("exercises/stop").catch(this.complain) }, "Give up")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      post("exercises/answer", { answers: Object.fromEntries(new FormData(form)) }).catch(this.complain);
    });
    by("training-body").replaceChildren(form);
  }

  async #choice() {
    this.exercises ??= await get("exercises");
    by("training-body").replaceChildren(make("ul", { class: "exercises" }, this.exercises.map((each) => make("li", {},
      make("button", { type: "button", "data-exercise": each.name, title: each.briefing, onclick: () => post(`exercises/${each.name}`).catch(this.complain) }, each.title)))));
  }

  #debrief(debrief) {
    const dialog = by("debrief");
    dialog.replaceChildren(
      make("h2", { id: "debrief-title" }, `${debrief.title}: ${debrief.earned} of ${debrief.points} points`),
      make("p", {}, `Answered after ${lasting(debrief.simulated_s)} of simulated time, ${lasting(debrief.wall_s)} of yours.`),
      make("ol", { class: "answers" }, debrief.questions.map((each) => make("li", { class: each.earned === each.points ? "good" : each.earned ? "warning" : "bad" },
        make("p", {}, make("b", {}, each.text)), make("p", {}, `You: ${each.answer || "–"}. Right: ${each.right}. ${each.earned} of ${each.points} points: ${each.remark}.`), make("p", { class: "remark" }, each.explain)))),
      make("h3", {}, "What happened"), make("ul", {}, debrief.what_happened.map((each) => make("li", {}, `${clock(each.at_s, { day: false })} ${each.text}`))),
      make("h3", {}, "What the head-end heard"), make("ul", {}, debrief.what_was_heard.map((each) => make("li", {}, `${clock(each.at_s, { day: false })} ${each.text}`))),
      make("form", { method: "dialog" }, make("button", { class: "main" }, "Close")));
    if (!dialog.open) dialog.showModal();
  }
}
