/**
 * A found case: its report, its ECG beside the asked one or over it, and the median beats of both.
 * @module
 */
import { getCase } from "./api.js";
import { beatsOf } from "./beats.js";
import { byId, el, fill } from "./dom.js";
import { caseWords } from "./hits.js";
import { extentWords, Paper } from "./paper.js";
import { isolated, visible } from "./plain_text.js";
import { unpack, withoutWander } from "./trace.js";
import { word } from "./words.js";

/** The case that is open, if one is. */
export class CaseView {
  /**
   * @param {() => void} onChange Called when a case has come or gone, so that the asked ECG is drawn anew.
   * @param {(error: Error) => void} onError Called where it cannot be fetched.
   */
  constructor(onChange, onError) {
    this.onChange = onChange;
    this.onError = onError;
    this.paper = new Paper(byId("case-paper"));
    this.case = null;
    this.recorded = null;
    byId("case-close").addEventListener("click", () => this.close());
  }

  /**
   * Fetches a case and shows it.
   * @param {string} id The case.
   */
  async open(id) {
    this.aborting?.abort();
    this.aborting = new AbortController();
    const { signal } = this.aborting;
    try {
      const found = await getCase(id, signal);
      const recorded = found.trace?.packed ? await unpack(found.trace) : null;
      if (signal.aborted) return;
      this.found = found;
      this.recorded = recorded;
      this.onChange();
      byId("case").focus({ preventScroll: true });
      byId(recorded ? "papers" : "case").scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.name !== "AbortError") this.onError(error);
    }
  }

  /** Closes it. */
  close() {
    this.aborting?.abort();
    if (!this.found) return;
    this.found = null;
    this.recorded = null;
    byId("case").hidden = true;
    this.onChange();
  }

  /** The id of the case that is open, or "". */
  get id() {
    return this.found?.case.case_id ?? "";
  }

  /**
   * Returns its ECG.
   * @param {boolean} wander Whether baseline wander is taken off.
   * @returns {import("./trace.js").Ecg|null} The ECG, or null where there is none.
   */
  ecg(wander) {
    return this.recorded && wander ? withoutWander(this.recorded) : this.recorded;
  }

  /**
   * Draws it.
   * @param {Object} how How.
   * @param {import("./trace.js").Ecg|null} how.asked The asked ECG, or null after a search by text.
   * @param {import("./layout.js").Style} how.style Speed, gain and layout.
   * @param {boolean} how.beside Whether it has a paper of its own.
   * @param {boolean} how.wander Whether baseline wander is taken off.
   * @param {number} how.zoom The zoom.
   */
  draw({ asked, style, beside, wander, zoom }) {
    const { found } = this;
    byId("case").hidden = !found;
    byId("case-paper").hidden = true;
    if (!found) return;
    const ecg = this.ecg(wander);
    fill(byId("case-title"), word("case.title"), " ", isolated(found.case.case_id));
    const { device, statements = [] } = found.case;
    fill(
      byId("case-words"),
      caseWords(found.case),
      device ? el("span", {}, ", ", isolated(device)) : null,
      ecg ? `; ${extentWords(ecg)}` : null,
    );
    fill(byId("case-report"), isolated(found.report?.text ?? "", found.report?.language ?? ""));
    const lines = statements.map((one) =>
      el("li", {}, el("code", {}, visible(one.code)), " ", isolated(one.description)),
    );
    fill(byId("case-statements"), ...lines);
    byId("case-no-ecg").hidden = Boolean(ecg);
    byId("case-paper").hidden = !ecg || !beside;
    if (ecg && beside) {
      this.paper.zoom = zoom;
      this.paper.draw({ ecg, style, label: word("case.paper") });
    }
    const beats = ecg && asked ? beatsOf(asked, ecg, style.gain) : null;
    byId("case-beats").hidden = !beats;
    fill(byId("case-beats-place"), beats);
  }
}
