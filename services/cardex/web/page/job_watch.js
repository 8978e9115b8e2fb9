/**
 * Follows many jobs over one stream, which it takes up again where it broke.
 * @module
 */
import { getJob, watchJobs } from "./api.js";

const MOST = 10_000; // the contract's limit of a stream
const ASKED_AT_ONCE = 4;
const GATHER_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/** A watch over jobs that grows while more are submitted. */
export class JobWatch {
  /**
   * @param {(job: Object) => void} onJob Called with a job whenever its state has changed; one that the server does not
   *   know any more has failed.
   * @param {(error: Error|null) => void} onTrouble Called when the stream breaks, and with null when it is back.
   * @param {(error: Error) => void} onEnd Called when the server refuses the watch for good, which ends it.
   */
  constructor(onJob, onTrouble, onEnd) {
    this.onJob = onJob;
    this.onTrouble = onTrouble;
    this.onEnd = onEnd;
    this.open = new Set();
    this.cursor = "";
    this.broken = 0;
    this.streaming = null;
    this.timer = null;
    this.asking = false;
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
    if (this.stopped || this.timer || this.asking) return;
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
    const ids = [...this.open].slice(0, MOST);
    try {
      wait = (await this.#watched(ids, own.signal)) ? 0 : this.#pause();
    } catch (error) {
      if (own.signal.aborted) return;
      if (error.reason === "CURSOR_EXPIRED") this.cursor = "";
      else if (isForGood(error)) {
        this.stop();
        this.onEnd(error);
        return;
      }
      this.onTrouble(error);
      wait = Math.max(this.#pause(), 1000 * (error.retryAfter ?? 0));
    }
    if (!own.signal.aborted && this.open.size) this.#later(wait);
  }

  /** Watches jobs; returns whether those that it leaves open may be watched again at once. */
  async #watched(ids, signal) {
    try {
      return await watchJobs(ids, this.cursor, (jobs, cursor) => this.#take(jobs, cursor), signal);
    } catch (error) {
      if (error.reason !== "JOB_NOT_FOUND" || signal.aborted) throw error;
      if (await this.#leaveOutMissing(ids, signal)) return true;
      throw error;
    }
  }

  #take(jobs, cursor) {
    this.#back();
    if (cursor) this.cursor = cursor;
    jobs.forEach((job) => this.#tell(job));
  }

  #back() {
    if (this.broken) this.onTrouble(null);
    this.broken = 0;
  }

  #tell(job) {
    if (isFinal(job)) this.open.delete(job.job_id);
    this.onJob(job);
  }

  /** Asks for jobs a few at a time, since a stream is refused whole for one that is missing; returns whether any is. */
  async #leaveOutMissing(ids, signal) {
    // What is added meanwhile waits, for its stream would be refused too.
    clearTimeout(this.timer);
    this.timer = null;
    this.asking = true;
    let missing = 0;
    try {
      for (let first = 0; first < ids.length; first += ASKED_AT_ONCE) {
        const some = ids.slice(first, first + ASKED_AT_ONCE);
        for (const job of await Promise.all(some.map((id) => jobOrFailure(id, signal)))) {
          if (job.missing) missing += 1;
          this.#tell(job);
        }
      }
    } finally {
      this.asking = false;
    }
    if (missing) this.#back();
    return missing > 0;
  }

  #pause() {
    this.broken += 1;
    return Math.min(LONGEST_WAIT_MS, 250 * 2 ** this.broken) * (0.5 + Math.random() / 2);
  }
}

/** Says whether a refusal will be the same next time. */
function isForGood({ status, reason }) {
  return status >= 400 && status < 500 && ![401, 408, 429].includes(status) && reason !== "JOB_NOT_FOUND";
}

async function jobOrFailure(id, signal) {
  try {
    return await getJob(id, signal);
  } catch (error) {
    if (error.reason !== "JOB_NOT_FOUND") throw error;
    return { job_id: id, state: "JOB_STATE_FAILED", error: { message: error.message }, missing: true };
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
