// The dashboards that Grafana shows, drawn here: the same panels, units and thresholds.
import { get } from "./api.js";
import { draw, isEmpty } from "./panels.js";
import { by, clock, deviceName, make } from "./words.js";

const SPANS = [["as designed", ""], ["1 h", 3600], ["3 h", 10800], ["6 h", 21600], ["24 h", 86400], ["7 days", 604800]];
const AT_ONCE = 3, REST_MS = 4000, LEAST_STEP_S = 20;
const OFFERED = 2000;

export class Dashboards {
  constructor() {
    this.all = [];
    this.uid = null;
    this.span = "";
    this.values = {};
    this.choices = {};
    this.households = false;
    this.now = 0;
    this.drawnAt = null;
    this.kept = new Map();
  }

  async open() { this.all = await get("dashboards"); }
  has(uid) { return this.all.some((each) => each.uid === uid); }
  title(uid) { return this.all.find((each) => each.uid === uid).title; }
  leave() { this.uid = null; }
  repaint() { if (this.uid) for (const box of by("panels").children) box.repaint?.(); }

  // Keeps up with simulated time, but leaves the lab some peace.
  time(state) {
    const secrets = state.hidden.join();
    const changed = this.secrets !== undefined && this.secrets !== secrets;
    this.secrets = secrets;
    this.now = state.completed_s;
    this.ended = Boolean(state.ended);
    if (!this.uid || this.busy) return;
    const step = this.now - (this.drawnAt ?? -Infinity);
    if (changed || (step >= LEAST_STEP_S && performance.now() - (this.restedSince ?? 0) > REST_MS)) this.refresh();
  }

  async show(uid, values) {
    const fresh = uid !== this.uid;
    this.uid = uid;
    this.dashboard = this.all.find((each) => each.uid === uid);
    by("dashboard-title").textContent = this.dashboard.title;
    by("dashboard-description").textContent = this.dashboard.description;
    if (fresh) by("panels").replaceChildren();
    if (this.dashboard.households && !this.households) { this.#askForHouseholds(values); return; }
    if (this.dashboard.variables.length) {
      try { this.choices[uid] = await get(`dashboards/${uid}/choices?${this.#query()}`); }
      catch (error) {
        if (!this.choices[uid]) { this.#boxes(); for (const box of by("panels").children) this.#failed(box, error); return; }
      }
    }
    if (uid !== this.uid) return;
    const known = this.choices[uid] ?? {};
    for (const { name } of this.dashboard.variables) {
      const chosen = [values[name], this.values[name], known[name]?.[0]].find((value) => value && known[name].includes(value));
      if (chosen) this.values[name] = chosen; else delete this.values[name];
    }
    this.#controls();
    this.#boxes();
    await this.refresh();
  }

  #askForHouseholds(values) {
    by("dashboard-controls").replaceChildren();
    by("panels").replaceChildren(make("section", { class: "panel consent", "data-state": "consent" },
      make("h2", {}, "This shows what one household used"),
      make("p", {}, "A load curve tells when people are at home, sleep and cook. It is shown only if you choose so, and only in this window."),
      make("button", { type: "button", class: "main", id: "households", onclick: () => { this.households = true; this.show(this.uid, values); } }, "Show household curves")));
  }

  #controls() {
    const { dashboard } = this;
    const choose = (name, value) => { this.values[name] = value; this.refresh(); };
    const variables = dashboard.variables.map((variable) => {
      const options = this.choices[dashboard.uid][variable.name] ?? [];
      const list = `choices-${variable.name}`;
      const input = options.length > 60
        ? make("input", { list, type: "search", value: this.values[variable.name] ?? "", onchange: ({ target }) => { if (options.includes(target.value)) choose(variable.name, target.value); else target.setAttribute("aria-invalid", "true"); } })
        : make("select", { onchange: ({ target }) => choose(variable.name, target.value) }, options.map((option) => make("option", { value: option, selected: option === this.values[variable.name] }, deviceName(option, variable.name))));
      return make("label", {}, variable.label, input, options.length > 60 ? make("datalist", { id: list }, options.slice(0, OFFERED).map((option) => make("option", { value: option }))) : null);
    });
    by("dashboard-controls").replaceChildren(...variables,
      make("label", {}, "time range", make("select", { onchange: ({ target }) => { this.span = target.value; this.refresh(); } }, SPANS.map(([words, value]) => make("option", { value, selected: String(value) === this.span }, words)))),
      make("span", { id: "as-of", class: "remark" }));
  }

  #boxes() {
    const { dashboard } = this;
    if (by("panels").dataset.uid === dashboard.uid && by("panels").children.length === dashboard.panels.length) return;
    by("panels").dataset.uid = dashboard.uid;
    by("panels").replaceChildren(...dashboard.panels.map((panel) => {
      const title = `panel-${panel.key}`;
      return make("section", { class: "panel", "data-panel": panel.key, "data-kind": panel.kind, "data-state": "loading", "aria-labelledby": title, style: `--span: ${panel.span}; --rows: ${panel.height}` },
        make("div", { class: "head" }, make("h2", { id: title }, panel.title),
          make("button", { type: "button", class: "info", "aria-expanded": "false", "aria-label": `About ${panel.title}`, onclick: ({ currentTarget }) => { const shown = currentTarget.getAttribute("aria-expanded") === "true"; currentTarget.setAttribute("aria-expanded", String(!shown)); currentTarget.parentElement.nextElementSibling.hidden = shown; } }, "i"),
          ["table", "stat", "gauge"].includes(panel.kind) ? null : make("button", { type: "button", class: "info table-toggle", "aria-pressed": "false", "aria-label": `${panel.title} as a table`, onclick: ({ currentTarget }) => { const on = currentTarget.getAttribute("aria-pressed") !== "true"; currentTarget.setAttribute("aria-pressed", String(on)); currentTarget.closest(".panel").repaint?.(); } }, "▤")),
        make("p", { class: "about", hidden: true }, panel.description),
        make("div", { class: "body" }));
    }));
  }

  #query() {
    const query = new URLSearchParams();
    if (this.span) query.set("span_s", this.span);
    if (this.households) query.set("households", "true");
    for (const [name, value] of Object.entries(this.values)) query.set(`var-${name}`, value);
    return query.toString();
  }

  async refresh() {
    const { dashboard } = this;
    if (this.busy) { this.again = true; return; }
    const boxes = [...by("panels").children].filter((box) => box.dataset.panel);
    if (!boxes.length) return;
    const missing = dashboard.variables.filter(({ name }) => !this.values[name]);
    if (missing.length) {
      // Nothing to choose among.
      for (const box of boxes) { box.dataset.state = "empty"; box.lastChild.replaceChildren(make("p", { class: "nothing" }, dashboard.panels.find((each) => each.key === box.dataset.panel).when_empty)); }
      this.drawnAt = this.now;
      return;
    }
    this.busy = true;
    const at = this.now, query = this.#query(), waiting = [...boxes];
    const worker = async () => { for (let box; (box = waiting.shift()) && this.dashboard === dashboard;) await this.#fill(box, dashboard, query); };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    this.busy = false;
    this.restedSince = performance.now();
    this.drawnAt = at;
    const asOf = by("as-of");
    if (asOf) asOf.textContent = `as of ${clock(at, { day: false })}`;
    if (this.again || this.dashboard !== dashboard) { this.again = false; if (this.uid) await this.refresh(); }
  }

  async #fill(box, dashboard, query) {
    const panel = dashboard.panels.find((each) => each.key === box.dataset.panel);
    const body = box.lastChild, path = `dashboards/${dashboard.uid}/panels/${panel.key}?${query}`;
    try {
      // A lab that is over, or away, answers no more: then what it has answered before is shown.
      const kept = this.kept.get(panel);
      const data = await get(path).catch((error) => { if (error.status === 403 || kept?.path !== path) throw error; return kept.data; });
      this.kept.set(panel, { path, data });
      box.dataset.rows = data.rows;
      box.repaint = () => draw(body, panel, data, { asTable: box.querySelector(".table-toggle")?.getAttribute("aria-pressed") === "true", open: (uid, values) => this.#open(uid, values) });
      const empty = isEmpty(panel, data);
      if (empty) { box.repaint = null; body.replaceChildren(make("p", { class: "nothing" }, panel.when_empty)); } else await box.repaint();
      box.dataset.state = empty ? "empty" : "data";
    } catch (error) {
      this.#failed(box, error);
    }
  }

  #failed(box, error) {
    box.repaint = null;
    box.dataset.state = error.status === 403 ? "hidden" : this.ended ? "ended" : "error";
    box.lastChild.replaceChildren(make("p", { class: "nothing" }, this.ended ? "The lab had ended before this was looked at. Its report has the figures of the whole run." : error.message));
  }

  #open(uid, values) { location.hash = `${uid}?${new URLSearchParams(values)}`; }
}
