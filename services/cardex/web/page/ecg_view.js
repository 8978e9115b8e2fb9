/**
 * One ECG: its paper, calipers, answer, and the case that is compared with it.
 * @module
 */
import { getJob, imageOf, retrieve, submit, traceOf, watchJobs } from "./api.js";
import { answerPart, signalPart } from "./answer.js";
import { Calipers } from "./calipers.js";
import { CaseView } from "./case_view.js";
import { byId, el, fill } from "./dom.js";
import { HitList } from "./hits.js";
import { isFinal } from "./job_watch.js";
import { extentWords, Paper } from "./paper.js";
import { isolated, visible } from "./plain_text.js";
import { fillSheet } from "./print_sheet.js";
import { QuestionForm } from "./question.js";
import { keep, settings } from "./settings.js";
import { asTable, unpack, withoutWander } from "./trace.js";
import { percent, word } from "./words.js";

const ZOOMS = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8];

/** The view of one ECG. */
export class EcgView {
  /**
   * @param {(error: Error) => void} onError Called where something fails.
   * @param {(jobId: string) => void} onBegin Called when an ECG or a question is begun, so that links to an earlier one
   *   go; with the job that is shown from now on, or "".
   */
  constructor(onError, onBegin) {
    this.onError = onError;
    this.onBegin = onBegin;
    this.paper = new Paper(byId("paper"));
    this.calipers = new Calipers(this.paper, (words) => (byId("measured").textContent = words));
    this.case = new CaseView(() => this.#caseChanged(), onError);
    this.hits = new HitList(byId("hits"), (id) => this.openCase(id));
    this.question = new QuestionForm(byId("ecg-question"), () => this.askAgain());
    this.zoom = 1;
    this.wander = false;
    /** What the ECG that is open waits for, and of that what belongs to its question. */
    this.opening = null;
    this.asking = null;
    this.#clear();
    this.#listen();
  }

  /** Whether an ECG is open. */
  get hasEcg() {
    return this.recorded !== null;
  }

  /**
   * Opens a recording: draws it at once, and asks for its nearest cases at the same time.
   * @param {File[]} files Its files.
   * @param {string} name What it is called above the paper, and nowhere else.
   */
  async open(files, name) {
    this.#begin("", () => isolated(name));
    this.files = files;
    const { signal } = this.opening;
    const drawn = traceOf(files, signal).then(async (read) => {
      this.read = read;
      await this.#take(read.trace, signal);
    });
    // What is wrong with the ECG both calls say; the question's answer is told.
    drawn.catch(() => {});
    const question = this.#checked();
    if (question) await this.#ask(question);
    await drawn.catch((error) => {
      if (!signal.aborted && !this.answer) this.onError(error);
    });
    if (!question && !signal.aborted) this.#state("");
  }

  /**
   * Opens a job, whose ECG is in its answer where the question wanted that.
   * @param {string} id The job.
   */
  async openJob(id) {
    this.#begin(id, () => word("ecg.job", { id: visible(id) }));
    const { signal } = this.opening;
    this.#state("state.fetching");
    try {
      let job = await getJob(id, signal);
      while (!isFinal(job)) {
        this.#state("state.waiting");
        await watchJobs([id], "", () => {}, signal);
        job = await getJob(id, signal);
      }
      if (signal.aborted) return;
      if (job.state !== "JOB_STATE_SUCCEEDED") {
        throw new Error(job.error?.message || word(`state.${job.state.replace("JOB_STATE_", "")}`));
      }
      this.jobId = id;
      await this.#answered(job.answer, signal);
    } catch (error) {
      this.#failed(error, signal);
    }
  }

  /** Asks about the open ECG again, with the form's question. */
  async askAgain() {
    if (!this.files && !this.recorded) return;
    const question = this.#checked();
    if (!question) return;
    this.onBegin("");
    this.#forgetAnswer();
    await this.#ask(question);
  }

  /**
   * Opens a case beside the ECG.
   * @param {string} id The case.
   */
  async openCase(id) {
    if (this.case.id === id) this.case.close();
    else await this.case.open(id);
  }

  /** Closes what is open last: calipers, else the case. */
  escape() {
    if (this.calipers.shown) this.calipers.hide();
    else this.case.close();
    byId("calipers").setAttribute("aria-pressed", "false");
  }

  /** Shows the calipers or removes them. */
  toggleCalipers() {
    if (!this.recorded) return;
    this.calipers.toggle();
    byId("calipers").setAttribute("aria-pressed", String(this.calipers.shown));
  }

  /** Takes baseline wander off, or leaves it on again. */
  toggleWander() {
    this.wander = !this.wander;
    byId("wander").setAttribute("aria-pressed", String(this.wander));
    this.draw();
  }

  /**
   * Zooms by steps.
   * @param {number} steps How many; 0 goes to true scale.
   */
  zoomBy(steps) {
    const at = ZOOMS.findIndex((zoom) => zoom >= this.zoom - 1e-6);
    this.zoom = steps ? ZOOMS[Math.min(Math.max(at + steps, 0), ZOOMS.length - 1)] : 1;
    byId("zoom-real").textContent = percent(this.zoom);
    this.paper.zoomTo(this.zoom);
    this.case.paper.zoomTo(this.zoom);
  }

  /**
   * Changes speed, gain, layout or the placing of the case.
   * @param {string} name Which.
   * @param {string|number} value Its value.
   */
  set(name, value) {
    keep(name, value);
    byId(name).value = String(settings[name]);
    this.draw();
  }

  /**
   * Returns a link under which a colleague finds this ECG with its answer. It holds a job's id and nothing else.
   * @returns {Promise<string>} The link, or "" where nothing was asked and nothing can be.
   */
  async link() {
    if (!this.jobId) {
      const question = this.asked ?? this.#checked();
      if (!question) return "";
      // An answer from the cache has no job, and a job of a batch no trace: so there is one made for the link.
      const files = this.files ?? [asTable(this.recorded)];
      const how = { trace: true, requestId: "", signal: this.asking.signal };
      const job = await submit(files, question, how);
      this.jobId = job.job_id;
    }
    return `${location.origin}${location.pathname}#job=${encodeURIComponent(this.jobId)}`;
  }

  /** Draws the ECG, and the case over it or beside it. */
  draw() {
    if (!this.recorded) return;
    this.shown = this.wander ? withoutWander(this.recorded) : this.recorded;
    const over = settings.placing === "over" ? this.case.ecg(this.wander) : null;
    if (byId("ecg").hidden) byId("open-part").open = false; // make room for the ECG
    byId("ecg").hidden = false;
    byId("paper").hidden = false;
    fill(byId("ecg-name"), this.naming());
    byId("ecg-extent").textContent = extentWords(this.recorded);
    this.paper.zoom = this.zoom;
    this.paper.draw({ ecg: this.shown, style: { ...settings }, warnings: this.warnings, over });
    this.#drawCase();
    this.calipers.place();
  }

  /** Shows everything in the page's language. */
  translate() {
    this.calipers.translate();
    this.question.translate();
    if (this.recorded) this.draw();
    else this.#drawCase();
    this.#showSignal();
    if (this.answer) this.#showAnswer();
    byId("zoom-real").textContent = percent(this.zoom);
  }

  /** Fills the page that is printed. */
  fillSheet() {
    fillSheet(
      this.recorded && !byId("view-ecg").hidden && {
        ecg: this.shown,
        style: settings,
        answer: this.answer,
        warnings: this.warnings,
        quality: this.quality,
        wander: this.wander,
      },
    );
  }

  /** Warnings of the last answer about this ECG, or of what was read before it came. */
  get warnings() {
    return this.said?.warnings ?? this.read?.warnings ?? [];
  }

  /** Quality of the signal, as far as it is known. */
  get quality() {
    return this.said?.signal_quality ?? this.read?.signal_quality ?? null;
  }

  #clear() {
    Object.assign(this, { files: null, read: null, trace: null, recorded: null, shown: null, said: null });
    this.#forgetAnswer();
  }

  /** Forgets question and answer; what the answer said of the signal holds whatever is asked next. */
  #forgetAnswer() {
    Object.assign(this, { asked: null, answer: null, jobId: "" });
    this.question.tell(null);
    for (const part of ["answer", "answer-part"]) byId(part).hidden = true;
    for (const part of ["hits", "answer-part"]) fill(byId(part));
  }

  #begin(jobId, naming) {
    this.opening?.abort();
    this.opening = new AbortController();
    this.#newQuestion();
    this.naming = naming;
    if (this.calipers.shown) this.toggleCalipers();
    this.case.close();
    this.#clear();
    byId("ecg").hidden = true;
    byId("paper").hidden = true;
    for (const part of ["asked", "signal-part", "model-image"]) byId(part).hidden = true;
    byId("model-image").open = false;
    this.#forgetImage();
    this.onBegin(jobId);
    this.#state("state.reading");
  }

  /** Gives up what an earlier question waits for. */
  #newQuestion() {
    this.asking?.abort();
    this.asking = new AbortController();
    return this.asking.signal;
  }

  /** Returns the form's question, or null; from now on the form is there to change it. */
  #checked() {
    byId("asked").hidden = false;
    return this.question.checked();
  }

  async #ask(question) {
    const signal = this.#newQuestion();
    this.#state("state.asking");
    this.asked = question;
    this.question.tell(question.filter);
    try {
      const files = this.files ?? [asTable(this.recorded)];
      const { answer, job_id: jobId } = await retrieve(files, question, signal);
      this.jobId = jobId ?? "";
      await this.#answered(answer, signal);
    } catch (error) {
      this.#failed(error, signal);
    }
  }

  async #answered(answer, signal) {
    const began = performance.now();
    this.answer = answer;
    this.said = answer;
    this.question.tell(answer.filter ?? null); // a link may lead to another question than the form's
    if (!this.recorded && answer.trace?.packed) await this.#take(answer.trace, this.opening.signal);
    if (signal.aborted) return;
    this.draw(); // the answer's warnings may be others than those that were read
    this.#showSignal();
    this.#showAnswer();
    this.#state("");
    requestAnimationFrame(() => performance.measure("cardex:answer", { start: began, end: performance.now() }));
  }

  async #take(trace, signal) {
    const began = performance.now();
    const recorded = await unpack(trace);
    if (signal.aborted) return;
    this.trace = trace;
    this.recorded = recorded;
    performance.measure("cardex:unpack", { start: began, end: performance.now() });
    this.draw();
    byId("model-image").hidden = false;
    this.#showSignal();
    performance.measure("cardex:trace", { start: began, end: performance.now() });
  }

  #failed(error, signal) {
    if (signal.aborted) return;
    this.#state("");
    this.onError(error);
  }

  #state(key) {
    byId("ecg-state").textContent = key ? word(key) : "";
    byId("ecg-state").hidden = !key;
  }

  #showSignal() {
    if (!this.read && !this.said) return;
    byId("asked").hidden = false;
    byId("signal-part").hidden = false;
    fill(byId("signal"), ...signalPart(this.quality, this.warnings, this.read ?? {}));
  }

  #showAnswer() {
    for (const part of ["answer", "answer-part"]) byId(part).hidden = false;
    this.hits.show(this.answer);
    fill(byId("answer-part"), ...answerPart(this.answer, (ids) => this.hits.highlight(ids)));
  }

  #caseChanged() {
    this.hits.chosen(this.case.id);
    if (this.recorded) this.draw();
    else this.#drawCase();
  }

  #drawCase() {
    const beside = settings.placing === "beside" || !this.recorded;
    this.case.draw({ asked: this.shown, style: { ...settings }, beside, wander: this.wander, zoom: this.zoom });
    const open = Boolean(this.case.id);
    byId("papers").classList.toggle("two", open && beside && Boolean(this.case.recorded));
    byId("placing-part").hidden = !open;
    byId("over-legend").hidden = !(open && this.case.recorded);
  }

  #listen() {
    for (const [id, read] of [["speed", Number], ["gain", Number], ["layout", String], ["placing", String]]) {
      byId(id).value = String(settings[id]);
      byId(id).addEventListener("change", () => this.set(id, read(byId(id).value)));
    }
    byId("calipers").addEventListener("click", () => this.toggleCalipers());
    byId("wander").addEventListener("click", () => this.toggleWander());
    byId("zoom-in").addEventListener("click", () => this.zoomBy(1));
    byId("zoom-out").addEventListener("click", () => this.zoomBy(-1));
    byId("zoom-real").addEventListener("click", () => this.zoomBy(0));
    byId("model-image").addEventListener("toggle", () => this.#showImage());
    together(this.paper.box, this.case.paper.box);
  }

  async #showImage() {
    if (!byId("model-image").open || this.image || !this.trace) return;
    const { signal } = this.opening;
    try {
      const png = await imageOf(this.trace, signal);
      if (signal.aborted || this.image) return;
      this.image = URL.createObjectURL(png);
      fill(byId("model-image-place"), el("img", { src: this.image, alt: word("answer.image.alt") }));
    } catch (error) {
      if (!signal.aborted) this.onError(error);
    }
  }

  #forgetImage() {
    if (this.image) URL.revokeObjectURL(this.image);
    this.image = "";
    byId("model-image-place").replaceChildren();
  }
}

/** Scrolls two boxes together. */
function together(one, other) {
  for (const [from, to] of [[one, other], [other, one]]) {
    from.addEventListener("scroll", () => {
      if (Math.abs(to.scrollLeft - from.scrollLeft) > 1) to.scrollLeft = from.scrollLeft;
      if (Math.abs(to.scrollTop - from.scrollTop) > 1) to.scrollTop = from.scrollTop;
    });
  }
}
