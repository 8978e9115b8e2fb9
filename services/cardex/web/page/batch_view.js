/**
 * Many recordings: submits them a few at a time, follows their jobs, and shows and exports what came of them.
 * @module
 */
import { submit } from "./api.js";
import { byId, save } from "./dom.js";
import { asCsv, asJsonLines } from "./export.js";
import { isFinal, JobWatch } from "./job_watch.js";
import { isolated, visible } from "./plain_text.js";
import { WindowedTable } from "./table.js";
import { number, percent, word } from "./words.js";

const AT_ONCE = 4;
const TRIES = 6;
const TOP_K = 5;
const LONGEST_PAUSE_S = 60;

/** One recording of the batch; its files stay in memory, and go nowhere else. */
class Row {
  constructor(recording) {
    this.name = recording.name;
    this.files = recording.files;
    this.requestId = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    this.state = "WAITING";
    this.jobId = "";
    this.report = "";
    this.warnings = [];
    this.predictions = [];
    this.error = "";
  }

  /** Takes what a job says; an older state does not replace a final one. */
  take(job) {
    if (isFinal({ state: `JOB_STATE_${this.state}` })) return;
    this.jobId = job.job_id;
    this.state = job.state.replace("JOB_STATE_", "");
    if (job.answer) this.#answer(job.answer);
    if (job.error) this.error = job.error.message;
  }

  #answer(answer) {
    const [first] = answer.hits ?? [];
    this.report = first?.report.text ?? "";
    this.language = first?.report.language ?? "";
    this.score = first?.score;
    this.warnings = (answer.warnings ?? []).map((warning) => warning.code);
    this.predictions = (answer.predictions ?? []).slice(0, 5);
    this.heartRate = answer.signal_quality?.heart_rate_bpm;
    this.quality = answer.signal_quality?.index;
  }

  /** Says whether a text is in its name, report, warnings, statements or error. */
  holds(text) {
    const codes = this.predictions.map((prediction) => `${prediction.code} ${prediction.description}`);
    return [this.name, this.report, this.error, ...this.warnings, ...codes].join("\n").toLowerCase().includes(text);
  }
}

/** The view of a batch. */
export class BatchView {
  /**
   * @param {(row: {files: File[], name: string, jobId: string}) => void} onRow Called when a row is chosen.
   */
  constructor(onRow) {
    this.rows = [];
    this.byJob = new Map();
    this.waiting = [];
    this.passedOver = 0;
    this.table = new WindowedTable(byId("batch-table"), columns(), onRow);
    for (const id of ["batch-state", "batch-text", "batch-warnings"]) {
      byId(id).addEventListener("input", () => this.#show());
    }
    byId("batch-csv").addEventListener("click", () =>
      save(new Blob([asCsv(this.shown)], { type: "text/csv" }), "cardex.csv"),
    );
    byId("batch-jsonl").addEventListener("click", () =>
      save(new Blob([asJsonLines(this.shown)], { type: "application/x-ndjson" }), "cardex.jsonl"),
    );
    byId("batch-stop").addEventListener("click", () => this.stop());
    this.translate();
  }

  /**
   * Begins a batch; an earlier one is forgotten.
   * @param {import("./recordings.js").Recording[]} recordings The recordings.
   * @param {number} passedOver Files that were passed over.
   */
  begin(recordings, passedOver) {
    this.stop();
    this.rows = recordings.map((recording) => new Row(recording));
    this.passedOver = passedOver;
    this.byJob = new Map();
    this.waiting = [...this.rows].reverse();
    this.aborting = new AbortController();
    this.watch = new JobWatch(
      (job) => this.#job(job),
      (error) => this.#trouble("batch.broken", error),
      (error) => this.#unwatched(error),
    );
    this.openUntil = 0;
    this.running = true;
    for (let count = 0; count < AT_ONCE; count += 1) this.#submitNext(this.aborting.signal);
    this.#show();
  }

  /** Stops submitting and watching; what was submitted goes on at the server. */
  stop() {
    this.running = false;
    this.waiting = [];
    this.aborting?.abort();
    this.watch?.stop();
    this.#trouble("", null);
    this.#show();
  }

  /** The rows that pass the filters. */
  get shown() {
    const state = byId("batch-state").value;
    const text = byId("batch-text").value.trim().toLowerCase();
    const warned = byId("batch-warnings").checked;
    return this.rows.filter(
      (row) =>
        (!state || stateGroup(row.state) === state) && (!warned || row.warnings.length) && (!text || row.holds(text)),
    );
  }

  /** Renames what the view has named itself. */
  translate() {
    this.table.translate(word("batch.table"));
    this.#show();
  }

  async #submitNext(signal) {
    for (let row = this.waiting.pop(); row; row = this.waiting.pop()) {
      await this.#submit(row, signal);
      if (signal.aborted) return;
      this.#soon();
    }
  }

  async #submit(row, signal) {
    row.state = "SENDING";
    for (let tried = 1; ; tried += 1) {
      await pause(this.openUntil - Date.now(), signal);
      try {
        const job = await submit(row.files, { top_k: TOP_K }, { trace: false, requestId: row.requestId, signal });
        this.byJob.set(job.job_id, [...(this.byJob.get(job.job_id) ?? []), row]);
        row.take(job);
        // A job that is answered at once may come without its answer, which the watch then brings.
        if (!isFinal(job) || (job.state === "JOB_STATE_SUCCEEDED" && !job.answer)) this.#follow(row, job);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const passing = error.status === 0 || error.status === 429 || error.status === 401 || error.status >= 500;
        if (!passing || (tried >= TRIES && error.status !== 429 && error.status !== 401)) {
          row.state = "FAILED";
          row.error = error.message;
          return;
        }
        const wait = Math.min(LONGEST_PAUSE_S, error.retryAfter || 0.5 * 2 ** Math.min(tried, 6));
        // All senders wait, for the server's limit is one for all of them.
        this.openUntil = Math.max(this.openUntil, Date.now() + 1000 * wait);
        row.state = "HELD";
        this.#soon();
      }
    }
  }

  #follow(row, job) {
    if (isFinal(job)) row.state = "RUNNING";
    this.watch.add(job.job_id);
  }

  #job(job) {
    for (const row of this.byJob.get(job.job_id) ?? []) row.take(job);
    this.#soon();
  }

  #trouble(name, error) {
    byId("batch-trouble").textContent = error ? word(name, { message: visible(error.message) }) : "";
  }

  /** Stops, since nobody would learn what comes of more. */
  #unwatched(error) {
    this.stop();
    this.#trouble("batch.unwatched", error);
  }

  #soon() {
    if (this.pending) return;
    this.pending = setTimeout(() => {
      this.pending = null;
      this.#show();
    }, 100);
  }

  #show() {
    const shown = this.shown;
    this.table.show(shown);
    const counts = {};
    for (const row of this.rows) counts[stateGroup(row.state)] = (counts[stateGroup(row.state)] ?? 0) + 1;
    const done = (counts.SUCCEEDED ?? 0) + (counts.FAILED ?? 0);
    const progress = byId("batch-progress");
    progress.max = Math.max(1, this.rows.length);
    progress.value = done;
    byId("batch-count").textContent = word("batch.count", {
      done: number(done),
      all: number(this.rows.length),
      failed: number(counts.FAILED ?? 0),
      shown: number(shown.length),
      passed: number(this.passedOver),
    });
    byId("batch-stop").hidden = !this.running || done === this.rows.length;
    byId("batch-part").hidden = !this.rows.length;
  }
}

function stateGroup(state) {
  if (state === "SUCCEEDED") return "SUCCEEDED";
  return state === "FAILED" || state === "CANCELLED" ? "FAILED" : "OPEN";
}

function columns() {
  const column = (name, cell) => ({ name, cell, words: () => word(`batch.${name}`) });
  return [
    column("recording", (row) => isolated(row.name)),
    column("state", (row) => word(`state.${row.state}`)),
    column("report", (row) => (row.error ? isolated(row.error) : isolated(row.report, row.language))),
    column("score", (row) => (row.score === undefined ? "" : number(row.score, 2))),
    column("statements", (row) => row.predictions.slice(0, 3).map(share).join(", ")),
    column("rate", (row) => (row.heartRate ? number(row.heartRate, 0) : "")),
    column("warnings", (row) => row.warnings.map((code) => word(`warning.${code}`)).join(", ")),
  ];
}

function share(prediction) {
  return `${visible(prediction.code)}\u00a0${percent(prediction.probability)}`;
}

async function pause(ms, signal) {
  if (ms <= 0) return;
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
