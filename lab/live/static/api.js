// The lab's HTTP interface (lab/live/app.py).

// The printed address carries the token in its fragment. It stays in this origin's storage: unlike a cookie, no other
// port of this host is shown it.
const TOKEN = "amilab-token";
function takeToken() {
  const offered = new URLSearchParams(location.hash.slice(1)).get("token");
  if (offered === null) return false;
  localStorage.setItem(TOKEN, offered);
  history.replaceState(null, "", location.pathname);
  return true;
}
takeToken();
addEventListener("hashchange", () => { if (takeToken()) location.reload(); });
const headers = () => ({ "X-Amilab-Token": localStorage.getItem(TOKEN) ?? "" });

export class Refused extends Error {
  constructor(status, faults, hint) {
    super([...faults, ...(hint ? [hint] : [])].join(" "));
    this.status = status;
  }
}

async function asked(path, options = {}) {
  let response;
  try { response = await fetch(`/api/${path}`, { ...options, headers: { ...headers(), ...options.headers } }); }
  catch { throw new Refused(0, ["The lab does not answer."], null); }
  if (response.ok) return response;
  let refusal = { faults: [`status ${response.status}`], hint: null };
  try { refusal = await response.json(); } catch { /* a proxy's words, not the lab's */ }
  throw new Refused(response.status, refusal.faults ?? [], refusal.hint);
}

export const get = async (path) => (await asked(path)).json();
export const bytes = async (path) => (await asked(path)).arrayBuffer();
export const post = async (path, body = {}) => (await asked(path, {
  method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
})).json();

// The states that a stream of server-sent events tells. EventSource could send no header along.
async function* states(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split(/\r?\n\r?\n/);
    text = events.pop();
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data) yield JSON.parse(data);
    }
  }
}

const FIRST_WAIT_S = 1, LONGEST_WAIT_S = 30;
let tryNow = () => {};
export const again = () => tryNow();

// Calls `onState` with each state until the lab has ended. Whenever it is lost, `onLost(seconds, error)` says when it is
// tried again: later and later, so that many windows do not fall upon a lab that is in trouble.
export async function follow(onState, onLost) {
  for (let wait = FIRST_WAIT_S; ; wait = Math.min(2 * wait, LONGEST_WAIT_S)) {
    let failure = null;
    try {
      for await (const state of states((await asked("stream")).body)) {
        wait = FIRST_WAIT_S;
        onState(state);
        if (state.ended) return;
      }
    } catch (error) { failure = error; }
    const seconds = wait * (0.75 + Math.random() / 2);
    onLost(seconds, failure);
    await new Promise((done) => { tryNow = done; setTimeout(done, seconds * 1000); });
  }
}
