// The lab's HTTP interface (lab/live/app.py).
const token = document.querySelector("meta[name=amilab-token]").content;

export class Refused extends Error {
  constructor(status, faults, hint) {
    super([...faults, ...(hint ? [hint] : [])].join(" "));
    this.status = status;
  }
}

async function asked(path, options) {
  const response = await fetch(`/api/${path}`, options);
  if (response.ok) return response;
  let refusal = { faults: [`status ${response.status}`], hint: null };
  try { refusal = await response.json(); } catch { /* a proxy's words, not the lab's */ }
  throw new Refused(response.status, refusal.faults ?? [], refusal.hint);
}

export const get = async (path) => (await asked(path)).json();
export const bytes = async (path) => (await asked(path)).arrayBuffer();
export const post = async (path, body = {}) => (await asked(path, {
  method: "POST", body: JSON.stringify(body),
  headers: { "Content-Type": "application/json", "X-Amilab-Token": token },
})).json();

export function stream(onState, onLost) {
  const source = new EventSource("/api/stream");
  source.addEventListener("state", (event) => onState(JSON.parse(event.data)));
  source.addEventListener("error", onLost);
}
