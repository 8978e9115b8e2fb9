/**
 * Follows many jobs over one stream, which it takes up again where it broke.
 * @module
 */
import { watchJobs } from "./api.js";

const MOST = 10_000; // the contract's limit of a stream
const GATHER_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/** A watch over jobs that grows while more are submitted. */
export class JobWatch {
  /**
   * @param {(job: Object) => void} onJob Called with a job whenever its state has changed.
   * @param {(error: Error|null) => void} onTrouble Called when the stream breaks, and with null when it is back.
   */
  constructor(onJob, onTrouble) {
    this.onJob = onJob;
    this.onTrouble = onTrouble;
    this.open = new Set();
    this.cursor = "";
    this.broken = 0;
    this.streaming = null;
    this.timer = null;
    this.stopped = false;
  }

  /**
   * Adds a job.
   * @param {string} id The job.
   */
  add(id) {
    this.open.add(id);
    // A stream watches the jobs that it began with, so new ones wait a moment and go into the next stream together.
    this.#later(GATHER_MS + this.open.size); // with many jobs a new stream costs more, so it comes later
  }

  /** Ends the watch. */
  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.streaming?.abort();
  }

  #later(wait) {
    if (this.stopped || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.streaming?.abort();
      this.#stream();
    }, wait);
  }

  async #stream() {
    if (!this.open.size || this.stopped) return;
    const own = new AbortController();
    this.streaming = own;
    let wait = null;
    try {
      const ids = [...this.open].slice(0, MOST);
      const take = (jobs, cursor) => this.#take(jobs, cursor);
      const all = await watchJobs(ids, this.cursor, take, own.signal);
      wait = all ? 0 : this.#pause();
    } catch (error) {
      if (own.signal.aborted) return;
      if (error.reason === "CURSOR_EXPIRED") this.cursor = "";
      else if (error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status)) {
        this.onTrouble(error);
        this.stop();
        return;
      }
      this.onTrouble(error);
      wait = Math.max(this.#pause(), 1000 * (error.retryAfter ?? 0));
    }
    if (!own.signal.aborted && this.open.size) this.#later(wait);
  }

  #take(jobs, cursor) {
    if (this.broken) this.onTrouble(null);
    this.broken = 0;
    if (cursor) this.cursor = cursor;
    for (const job of jobs) {
      if (isFinal(job)) this.open.delete(job.job_id);
      this.onJob(job);
    }
  }

  #pause() {
    this.broken += 1;
    return Math.min(LONGEST_WAIT_MS, 250 * 2 ** this.broken) * (0.5 + Math.random() / 2);
  }
}

/**
 * Says whether a job has ended.
 * @param {Object} job The job.
 * @returns {boolean} True in its final states.
 */
export function isFinal(job) {
  return ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"].includes(job.state);
}
