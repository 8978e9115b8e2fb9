/**
 * What an answer says beside its hits: signal, findings, predictions, the draft and where the time went.
 * @module
 */
import { el } from "./dom.js";
import { isolated, visible } from "./plain_text.js";
import { nearnessWords } from "./question.js";
import { number, percent, word } from "./words.js";

/**
 * Shows heart rate, quality and the warnings.
 * @param {Object|null} quality A SignalQuality.
 * @param {Object[]} warnings The warnings.
 * @param {Object} [file] What the file says: format, device, recorded_at.
 * @returns {HTMLElement[]} The elements.
 */
export function signalPart(quality, warnings, file = {}) {
  const rate = quality?.heart_rate_bpm;
  const facts = [
    [word("signal.rate"), rate ? `${number(rate, 0)} ${word("unit.bpm")}` : "\u2013"],
    [word("signal.quality"), quality ? percent(quality.index ?? 0) : "\u2013"],
    file.format ? [word("signal.format"), isolated(file.format)] : null,
    file.device ? [word("signal.device"), isolated(file.device)] : null,
    file.recorded_at ? [word("signal.recorded"), isolated(file.recorded_at.replace("T", " "))] : null,
  ];
  return [
    el("dl", { class: "facts" }, ...facts.filter(Boolean).map(fact)),
    warnings.length
      ? el("ul", { class: "warnings" }, ...warnings.map(warningLine))
      : el("p", { class: "good" }, word("signal.good")),
  ];
}

function fact([name, value]) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

function warningLine(warning) {
  const leads = (warning.leads ?? []).map(visible).join(", ");
  return el(
    "li",
    {},
    el("b", {}, word(`warning.${warning.code}`)),
    leads ? ` (${leads})` : "",
    ": ",
    isolated(warning.message),
  );
}

/**
 * Shows predictions, findings, the draft and the stage times.
 * @param {Object} answer The answer.
 * @param {(reportIds: string[]) => void} onSources Called with the hits behind what is pointed at.
 * @returns {HTMLElement[]} The elements.
 */
export function answerPart(answer, onSources) {
  return [
    part("predictions", (answer.predictions ?? []).map(predictionLine)),
    part("findings", (answer.findings ?? []).map((finding) => findingLine(finding, onSources))),
    draft(answer.draft, onSources),
    stages(answer),
  ].filter(Boolean);
}

function part(name, lines) {
  if (!lines.length) return null;
  return el(
    "section",
    { class: name },
    el("h3", {}, word(`answer.${name}`)),
    el("p", { class: "hint" }, word(`answer.${name}.hint`)),
    el("ul", { class: "shares" }, ...lines),
  );
}

function predictionLine(prediction) {
  return el("li", {}, ...shareOf(prediction, prediction.probability));
}

function findingLine(finding, onSources) {
  return el("li", pointed(finding.report_ids ?? [], onSources), ...shareOf(finding, finding.share));
}

function shareOf(statement, share) {
  const name = `${visible(statement.code)}: ${percent(share)}`;
  return [
    el("span", { class: "statement" }, el("code", {}, visible(statement.code)), " ", isolated(statement.description)),
    el("meter", { min: 0, max: 1, value: share, "aria-label": name }),
    el("span", { class: "share" }, percent(share)),
  ];
}

function draft(given, onSources) {
  if (!given?.sentences?.length) return null;
  const sentences = given.sentences.map(({ text, report_ids: ids = [] }) =>
    el(
      "span",
      { class: "draft-sentence", ...pointed(ids, onSources) },
      isolated(text),
      el("span", { class: "visually-hidden" }, ` (${word("answer.sources", { count: ids.length })})`),
      " ",
    ),
  );
  return el(
    "section",
    { class: "draft" },
    el("h3", {}, word("answer.draft")),
    el("p", { class: "draft-label" }, visible(given.label)),
    el("p", { class: "draft-text" }, ...sentences),
  );
}

function pointed(reportIds, onSources) {
  const begin = () => onSources(reportIds);
  const end = () => onSources([]);
  return { tabindex: "0", onmouseenter: begin, onfocus: begin, onmouseleave: end, onblur: end };
}

function stages(answer) {
  const rows = (answer.stages ?? []).map((stage) => {
    const ms = number(seconds(stage.duration) * 1000, 1);
    return el("tr", {}, el("th", { scope: "row" }, word(`stage.${visible(stage.stage)}`)), el("td", {}, `${ms} ms`));
  });
  const index = { name: visible(answer.index_name ?? ""), generation: visible(answer.index_generation ?? "") };
  const facts = [
    word("answer.by", { by: nearnessWords(answer.by) }),
    word("answer.model", { version: visible(answer.model_version ?? "") }),
    word("answer.index", index),
    answer.from_cache ? word("answer.from_cache") : "",
  ];
  return el(
    "details",
    { class: "stages" },
    el("summary", {}, word("answer.stages")),
    el("table", {}, el("tbody", {}, ...rows)),
    ...facts.filter(Boolean).map((words) => el("p", { class: "hint" }, words)),
  );
}

/**
 * Reads a protobuf duration.
 * @param {string} [duration] For example "0.012s".
 * @returns {number} Seconds.
 */
export function seconds(duration = "0s") {
  return Number.parseFloat(duration) || 0;
}
