// What the map's colours mean. Bits of lab/live/map_state.py.
export const DARK = 1, GASPED = 2, OUT = 4, ONLINE = 8, OFFLINE = 16, DISCONNECTED = 32, PHASE_TOLD = 64;
const UNIT = 1e-4;

// Shape and size tell the same as colour.
const SUPPLY = [
  { key: "supplied", words: "supplied", colour: "supplied", shape: "dot" },
  { key: "dark", words: "dark, and the head-end knows", colour: "dark", shape: "square", grow: 1.35, least: 2.6, order: 3 },
  { key: "unknown", words: "dark, not known yet", colour: "dark", shape: "diamond", grow: 1.35, least: 3, hollow: true, order: 4 },
  { key: "phantom", words: "said to be dark, but supplied", colour: "phantom", shape: "cross", grow: 1.4, least: 3, order: 5 },
  { key: "disconnected", words: "disconnected by its meter, no outage", colour: "station", shape: "square", grow: 1.2, least: 2.6, hollow: true, order: 2 },
  { key: "partial", words: "a phase is missing, others supply it", colour: "partial", shape: "wedge", grow: 1.5, least: 3, order: 2 },
];
const REPORTED = [
  { key: "supplied", words: "nothing reported", colour: "supplied", shape: "dot" },
  { key: "dark", words: "in an outage that was found", colour: "dark", shape: "square", grow: 1.35, least: 2.6, order: 3 },
  { key: "gasped", words: "last gasp heard", colour: "dark", shape: "diamond", grow: 1.35, least: 3, hollow: true, order: 4 },
  { key: "partial", words: "told of a lost phase", colour: "partial", shape: "wedge", grow: 1.5, least: 3, order: 2 },
];
const COMMUNICATION = [
  { key: "online", words: "can be reached", colour: "online", shape: "dot" },
  { key: "offline", words: "cannot be reached", colour: "offline", shape: "triangle", grow: 1.5, least: 3, order: 3 },
  { key: "unheard", words: "not heard of yet", colour: "unheard", shape: "dot", order: 1 },
];
const BOUNDS = [0.9, 0.93, 0.96, 0.98, 1.02, 1.04, 1.07, 1.1];
const VOLTAGE = [
  ...["below 90 %", "90–93 %", "93–96 %", "96–98 %", "98–102 %", "102–104 %", "104–107 %", "107–110 %", "above 110 %"].map((words, at) => ({
    key: `v${at}`, words, colour: `v${at}`, shape: at === 0 || at === 8 ? "diamond" : "dot", grow: at === 0 || at === 8 ? 1.4 : 1, order: Math.abs(at - 4) })),
  { key: "dark", words: "no supply", colour: "ink", shape: "square", grow: 1.2, least: 2.4, hollow: true, order: 6 },
  { key: "unknown", words: "not known", colour: "unheard", shape: "dot" },
];

// Of routes (lab/live/routes.py): the neighbour's number, or one of these.
export const NO_WAY = -1, TO_COLLECTOR = -2, OWN = -3, WIRED = -4;
const ELSEWHERE = [
  { key: "own", words: "has a modem of its own", colour: "online", shape: "diamond", order: 1 },
  { key: "wired", words: "is wired", colour: "unheard", shape: "dot" },
  { key: "noway", words: "there is no way to it", colour: "dark", shape: "cross", grow: 1.4, least: 3, order: 6 },
];
const HOPS = [
  ...["1 hop", "2 hops", "3 hops", "4 hops", "5 or 6 hops", "7 hops or more"].map((words, at) => ({ key: `h${at + 1}`, words, colour: `h${at}`, shape: "dot", order: 2 })),
  ...ELSEWHERE,
];
// Of transmissions to the next neighbour, those that fail.
const LOSS = [
  ...["below 2 %", "2–5 %", "5–10 %", "10–20 %", "20–35 %", "above 35 %"].map((words, at) => ({ key: `l${at}`, words: `${words} lost`, colour: `h${at}`, shape: at === 5 ? "diamond" : "dot", order: 2 + at / 10 })),
  ...ELSEWHERE,
];
const LOSS_BOUNDS = [2, 5, 10, 20, 35];
const elsewhere = (parent) => parent === OWN ? 6 : parent === WIRED ? 7 : 8;

// routes: of /api/network. at: the meter's number.
export function routeLayer(name, routes) {
  const reached = (at) => routes.parent[at] >= 0 || routes.parent[at] === TO_COLLECTOR;
  if (name === "network") return { styles: HOPS, of: (at) => reached(at) ? (routes.hops[at] > 6 ? 5 : routes.hops[at] > 4 ? 4 : routes.hops[at] - 1) : elsewhere(routes.parent[at]) };
  return { styles: LOSS, of: (at) => {
    if (!reached(at)) return elsewhere(routes.parent[at]);
    const lost = 100 - routes.through[at];
    let bin = 0;
    while (bin < LOSS_BOUNDS.length && lost >= LOSS_BOUNDS[bin]) bin++;
    return bin;
  } };
}
export function routeInWords(routes, at) {
  const parent = routes.parent[at];
  if (parent === WIRED) return {};
  if (parent === NO_WAY) return { way: "none", cell: routes.cell[at], coupling: routes.coupling_db[at] };
  if (parent === OWN) return { way: "a modem of its own", cell: routes.cell[at], coupling: routes.coupling_db[at] };
  return { hops: routes.hops[at], next: parent, lost: `${100 - routes.through[at]} % of transmissions`, signal: routes.signal_dbm[at] };
}

function supply(flags, _tenths, lacking) {
  const known = flags & (OUT | GASPED);
  return flags & DARK ? (known ? 1 : 2) : known ? 3 : lacking ? 5 : flags & DISCONNECTED ? 4 : 0;
}
const reported = (flags) => flags & OUT ? 1 : flags & GASPED ? 2 : flags & PHASE_TOLD ? 3 : 0;
const communication = (flags) => flags & ONLINE ? 0 : flags & OFFLINE ? 1 : 2;
function voltage(flags, tenths) {
  if (flags & DARK) return 9;
  if (!tenths) return 10;
  const pu = tenths * UNIT;
  let at = 0;
  while (at < BOUNDS.length && pu >= BOUNDS[at]) at++;
  return at;
}

export function layer(name, hidden) {
  if (name === "communication") return { styles: COMMUNICATION, of: communication };
  if (name === "voltage") return { styles: VOLTAGE, of: voltage };
  return hidden.includes("truth") ? { styles: REPORTED, of: reported } : { styles: SUPPLY, of: supply };
}

export const volts = (tenths) => tenths ? `${(tenths * UNIT * 100).toFixed(1)} % of nominal` : "not known";
export const affected = (flags, lacking) => lacking || flags & (DARK | GASPED | OUT | OFFLINE | DISCONNECTED | PHASE_TOLD);
const phases = (lacking) => ["L1", "L2", "L3"].filter((_, at) => lacking & (1 << at)).join(" and ");
export function inWords(flags, lacking, hidden) {
  const { styles, of } = layer("supply", hidden);
  const state = styles[of(flags, 0, lacking)];
  const missing = lacking ? `; ${phases(lacking)} missing, ${flags & PHASE_TOLD ? "and the head-end knows" : "not known yet"}` : "";
  const apart = flags & DISCONNECTED && (lacking || flags & (DARK | OUT | GASPED)) ? "; disconnected by its meter besides" : "";
  return `${state.words}${missing}${apart}; ${COMMUNICATION[communication(flags)].words}`;
}
