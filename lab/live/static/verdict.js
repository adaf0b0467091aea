// The verdict so far.
import { by, clock, make, table } from "./words.js";

export function showVerdict(state) {
  const pill = by("verdict-pill"), { verdict } = state;
  by("judge").disabled = state.judging || state.hidden.includes("truth");
  if (!verdict) {
    const words = state.hidden.includes("truth") ? "verdict hidden" : state.judging ? "judging …" : "no verdict yet";
    if (pill.textContent !== words) { pill.textContent = words; pill.className = "pill"; }
    by("verdict-body").replaceChildren(make("p", {}, state.hidden.includes("truth") ? "Hidden while the exercise goes on." : state.verdict_fault || "Nothing can be judged yet: all that was measured must first have had its chance to be stored. Meters that report in blocks take up to four hours."));
    by("verdict-body").dataset.key = "";
    return;
  }
  const failed = verdict.criteria.filter((each) => !each.passed).length;
  const final = state.ended?.report !== undefined;
  by("judge").hidden = final;
  by("verdict-title").textContent = final ? "The verdict" : "The verdict so far";
  const words = failed ? `✗ ${failed} of ${verdict.criteria.length} criteria failed` : `✓ all ${verdict.criteria.length} criteria`;
  pill.textContent = final ? words : `${words} up to ${clock(verdict.until_s, { day: false }).slice(0, 5)}`;
  pill.className = `pill ${failed ? "bad" : "good"}`;
  const key = `${verdict.until_s} ${words} ${state.judging} ${final}`;
  if (by("verdict-body").dataset.key === key) return;
  by("verdict-body").dataset.key = key;
  const mark = (each) => make("span", { class: each.passed ? "good" : "bad" }, each.passed ? "✓ passed" : "✗ failed");
  by("verdict-body").replaceChildren(
    make("p", { class: `stamp ${failed ? "bad" : "good"}` }, `${failed ? "FAILED" : "PASSED"}${final ? "" : " so far"}`),
    make("p", {}, `Judged from ${clock(verdict.from_s)} to ${clock(verdict.until_s)}${final ? "" : `, the last instant up to which everything has had its chance to be stored${state.judging ? "; judging again" : ""}`}. ${verdict.expected.toLocaleString("en")} readings expected, ${verdict.stored.toLocaleString("en")} stored, ${verdict.lost.toLocaleString("en")} lost, ${verdict.recovered.toLocaleString("en")} recovered.`),
    table(["", "criterion", "value", "target"], verdict.criteria.map((each) => [mark(each), each.id, each.value, each.target]), { caption: "Criteria", numeric: [false, false, true, true] }));
}
