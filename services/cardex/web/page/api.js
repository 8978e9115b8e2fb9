/**
 * Calls of the web process. What may change something carries the session's CSRF token, which is kept in memory only.
 * @module
 */

let csrf = "";
let asked = Promise.resolve(); // settles once the session is known, or cannot be

const SESSION = "/v1/session";

/** An error as the web process tells it. */
export class ApiError extends Error {
  /**
   * @param {number} status The HTTP status; 0 where no answer came.
   * @param {{reason?: string, message?: string, field?: string}} error The body's `error`.
   * @param {number} [retryAfter] Seconds after which to try again.
   */
  constructor(status, error, retryAfter = 0) {
    super(error.message || `HTTP ${status}`);
    this.status = status;
    this.reason = error.reason ?? "";
    this.field = error.field ?? "";
    this.retryAfter = retryAfter;
  }
}

/**
 * Asks whether a key is needed, and keeps the CSRF token.
 * @returns {Promise<{needs_key: boolean, signed_in: boolean}>} The session.
 */
export function getSession() {
  const found = json(SESSION).then(kept);
  asked = found.catch(() => {});
  return found;
}

/**
 * Signs in; the browser keeps the cookie, and the page nothing.
 * @param {string} key The API key.
 * @returns {Promise<{needs_key: boolean, signed_in: boolean}>} The session.
 */
export async function signIn(key) {
  const response = await send("POST", SESSION, { body: JSON.stringify({ key }), json: true, quiet: true });
  return kept(await response.json());
}

/** Signs out. */
export async function signOut() {
  await send("DELETE", SESSION);
  csrf = "";
}

/** Reads a recording into its trace, with warnings and quality. */
export async function traceOf(files, signal) {
  return json("/v1/ecgs:trace", { body: formOf(files), signal });
}

/** Draws the image that the model sees; returns a PNG. */
export async function imageOf(trace, signal) {
  const response = await send("POST", "/v1/traces:image", { body: JSON.stringify({ trace }), json: true, signal });
  return response.blob();
}

/** Asks for the nearest cases of a recording and waits for the answer. */
export async function retrieve(files, question, signal) {
  return json("/v1/ecgs:retrieve", { body: formOf(files, { ...question, trace: true }), signal });
}

/** Submits a recording; returns its job at once. */
export async function submit(files, question, { trace, requestId, signal }) {
  const body = formOf(files, { ...question, trace, request_id: requestId, priority: "ROUTINE" });
  return (await json("/v1/ecgs:submit", { body, signal })).job;
}

/** Returns a job. */
export async function getJob(id, signal) {
  return (await json(`/v1/jobs/${encodeURIComponent(id)}`, { signal })).job;
}

/** Returns a case with its report and its ECG. */
export async function getCase(id, signal) {
  return json(`/v1/cases/${id.split("/").map(encodeURIComponent).join("/")}`, { signal });
}

/** Finds reports by text. */
export async function searchReports(text, question, signal) {
  const body = { text, top_k: question.top_k, by: question.by };
  if (question.filter) body.filter = question.filter;
  return (await json("/v1/reports:search", { body: JSON.stringify(body), json: true, signal })).answer;
}

/** Lists the examples; none where the server has none. */
export async function listExamples() {
  return (await json("/v1/examples")).examples ?? [];
}

/** Fetches an example as a file. */
export async function getExample(id, signal) {
  const response = await send("GET", `/v1/examples/${encodeURIComponent(id)}`, { signal });
  return new File([await response.blob()], "example.zip");
}

/**
 * Watches jobs until all are final, the stream breaks or the signal aborts it.
 * @param {string[]} ids The jobs.
 * @param {string} cursor Where an earlier stream stopped, or "".
 * @param {(jobs: Object[], cursor: string) => void} onJobs Called with jobs as they are now.
 * @param {AbortSignal} signal Ends it.
 * @returns {Promise<boolean>} Whether the server said that all are final.
 */
export async function watchJobs(ids, cursor, onJobs, signal) {
  const body = JSON.stringify({ job_ids: ids, cursor, with_answers: true });
  const response = await send("POST", "/v1/jobs:watch", { body, json: true, signal });
  for await (const { event, data } of events(response.body)) {
    if (event === "jobs") onJobs(data.jobs ?? [], data.cursor ?? "");
    else if (event === "end") return true;
    else if (event === "error") throw new ApiError(data.error?.http_status ?? 500, data.error ?? data);
  }
  return false;
}

/**
 * Reads a stream of server-sent events.
 * @param {ReadableStream} body Its bytes.
 * @yields {{event: string, data: *}} Each event with its data, parsed.
 */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value.replace(/\r\n?/g, "\n");
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parsed(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5));
  }
  if (!data.length && event === "message") return null; // a comment that keeps the connection alive
  return { event, data: data.length ? JSON.parse(data.join("\n")) : {} };
}

function formOf(files, question = {}) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  for (const [name, value] of Object.entries(question)) {
    if (value === undefined || value === null || value === "") continue;
    form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  return form;
}

async function json(path, { body, ...options } = {}) {
  const response = await send(body === undefined ? "GET" : "POST", path, { body, ...options });
  return response.json();
}

async function send(method, path, { body, json: isJson = false, signal, quiet = false, again = true } = {}) {
  if (method !== "GET" && path !== SESSION) await asked; // without the token a recording would be sent for nothing
  const headers = isJson ? { "Content-Type": "application/json" } : {};
  if (method !== "GET" && csrf) headers["X-Cardex-Csrf"] = csrf;
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { reason: "UNREACHABLE", message: error.message });
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  if (refused.reason === "CSRF" && again) {
    await getSession(); // another tab signed in anew
    return send(method, path, { body, json: isJson, signal, quiet, again: false });
  }
  if (refused.status === 401 && !quiet) document.dispatchEvent(new Event("cardex:signed-out"));
  throw refused;
}

async function refusal(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const body = await response.json().catch(() => ({}));
  return new ApiError(response.status, body.error ?? {}, retryAfter);
}

function kept(session) {
  csrf = session.csrf ?? "";
  return session;
}
