// What the whole page has to say of the lab: that it has ended and how, or that it cannot be reached.
import { by, clock } from "./words.js";

const LIVE = ["speed", "judge", "disturb", "training"];

export class Banner {
  constructor(again) {
    this.last = null;
    by("try-now").addEventListener("click", again);
  }

  // A state has come.
  heard(state) {
    clearInterval(this.counting);
    this.last = Date.now();
    const over = ["judging", "ended"].includes(state.phase);
    document.documentElement.dataset.lab = state.phase;
    for (const id of LIVE) by(id).inert = over;
    if (state.phase === "judging") this.#show("The lab is over. Its whole time is being judged.", "warning");
    else if (state.ended) this.#show(this.#ending(state), state.ended.passed ? "good" : "bad");
    else by("lab-banner").hidden = true;
  }

  #ending({ ended, now_s }) {
    const report = ended.report ? ` Its report: ${ended.report}` : "";
    return `The lab has ended: ${ended.words}. What you see is as of ${clock(now_s)}.${report}`;
  }

  // Nothing comes any more, and it is tried again in so many seconds.
  lost(seconds, error) {
    const since = this.last ? ` since ${new Date(this.last).toLocaleTimeString("en-GB")}` : "";
    const until = Date.now() + seconds * 1000;
    const why = error?.status === 401 ? "Another lab answers here: open the address that it has printed." : error?.status ? error.message : `The lab does not answer${since}: it may have been killed, or the way to it is broken.`;
    const say = () => this.#show(`${why} Trying again in ${Math.max(Math.ceil((until - Date.now()) / 1000), 0)} s.`, "bad", true);
    document.documentElement.dataset.lab = "lost";
    for (const id of LIVE) by(id).inert = true;
    clearInterval(this.counting);
    this.counting = setInterval(say, 1000);
    say();
  }

  // The page has not even begun.
  stranger(error) {
    this.#show(error.status === 401 ? "Open the address that `amilab up` has printed: it lets you in." : error.message, "bad");
  }

  #show(text, tone, retries = false) {
    const banner = by("lab-banner"), [words] = banner.children;
    if (words.textContent !== text) words.textContent = text;
    banner.className = tone;
    banner.hidden = false;
    by("try-now").hidden = !retries;
  }
}
