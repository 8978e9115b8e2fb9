/**
 * Writes the rows of a batch as CSV and JSONL.
 * @module
 */

const COLUMNS = [
  "recording", "state", "job_id", "heart_rate_bpm", "quality", "warnings", "report", "score", "predictions", "error",
];
const FORMULA = /^\s*[=+\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20]/;

/**
 * Writes rows as CSV (RFC 4180), in which no cell is a formula.
 * @param {Object[]} rows The rows.
 * @returns {string} The table with its header.
 */
export function asCsv(rows) {
  const lines = rows.map((row) => COLUMNS.map((name) => cell(plain(row)[name])).join(","));
  return `\ufeff${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`;
}

/**
 * Writes rows as one JSON object a line.
 * @param {Object[]} rows The rows.
 * @returns {string} The lines.
 */
export function asJsonLines(rows) {
  return rows.map((row) => `${JSON.stringify({ disclaimer: "RESEARCH USE ONLY", ...plain(row, true) })}\n`).join("");
}

/**
 * Writes a cell; what a spreadsheet would take for a formula gets an apostrophe before it.
 * @param {string|number|undefined} value What it holds.
 * @returns {string} The cell.
 */
export function cell(value) {
  if (value === undefined || value === null) return "";
  const text = String(value);
  const safe = typeof value !== "number" && FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function plain(row, lists = false) {
  const predictions = row.predictions.map(({ code, probability }) => ({ code, probability }));
  return {
    recording: row.name,
    state: row.state,
    job_id: row.jobId,
    heart_rate_bpm: row.heartRate,
    quality: row.quality,
    warnings: lists ? row.warnings : row.warnings.join(" "),
    report: row.report,
    score: row.score,
    predictions: lists ? predictions : predictions.map((one) => `${one.code} ${one.probability.toFixed(2)}`).join("; "),
    error: row.error,
  };
}
