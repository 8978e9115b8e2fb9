/**
 * The printed page: one A4 page in landscape with the ECG to scale, the doubts about it and the first hits.
 * @module
 */
import { byId, el, fill } from "./dom.js";
import { caseWords } from "./hits.js";
import { extentWords, printed, scaleWords } from "./paper.js";
import { isolated, visible } from "./plain_text.js";
import { filterWords } from "./question.js";
import { number, percent, word } from "./words.js";

const ROOM = { strip: 250, height: 120 };
const HITS = 3;
const LETTERS = 230;
const LEADS = 3; // warnings of leads; these stand beside their leads too

/**
 * Fills the page that is printed; it stays out of sight on the screen, and empty once the session has ended.
 * @param {Object|null} what What to print, or null for nothing.
 * @param {import("./trace.js").Ecg} what.ecg The ECG.
 * @param {import("./layout.js").Style} what.style Speed, gain and layout.
 * @param {Object} what.answer The answer, or null.
 * @param {Object[]} what.warnings Signal warnings.
 * @param {Object} what.quality Signal quality, or null.
 * @param {boolean} what.wander Whether baseline wander was taken off.
 */
export function fillSheet(what) {
  const sheet = byId("sheet");
  if (!what || document.body.classList.contains("locked")) {
    sheet.replaceChildren();
    return;
  }
  const { ecg, style, answer, warnings, quality, wander } = what;
  fill(
    sheet,
    el("p", { class: "sheet-notice" }, el("b", {}, "RESEARCH USE ONLY"), ` ${word("notice.long")}`),
    facts(ecg, style, quality, wander),
    printed(ecg, style, warnings, ROOM),
    el("div", { class: "sheet-words" }, el("div", {}, doubts(warnings), predictions(answer)), hits(answer)),
  );
}

function facts(ecg, style, quality, wander) {
  const shown = Math.min(ROOM.strip / style.speed, ecg.samples / ecg.rate);
  const parts = [
    "Cardex",
    scaleWords(style),
    extentWords(ecg, shown),
    word(wander ? "print.wander" : "print.recorded"),
    quality?.heart_rate_bpm ? `${number(quality.heart_rate_bpm, 0)} ${word("unit.bpm")}` : "",
    quality ? `${word("signal.quality")} ${percent(quality.index ?? 0)}` : "",
  ];
  return el("p", { class: "sheet-facts" }, parts.filter(Boolean).join(" | "));
}

/** Says all doubts about the whole record, and some of those about leads. */
function doubts(warnings) {
  if (!warnings.length) return null;
  const whole = warnings.filter(({ leads = [] }) => !leads.length);
  const ofLeads = warnings.filter((warning) => !whole.includes(warning));
  const left = ofLeads.length - LEADS;
  const some = ofLeads.slice(0, LEADS).map(({ code, leads }) =>
    el("li", {}, `${word(`warning.${code}`)} ${leads.map(visible).join(", ")}`),
  );
  return el(
    "section",
    { class: "sheet-doubts" },
    el("h3", {}, word("signal.title")),
    whole.length ? el("p", {}, whole.map(({ code }) => word(`warning.${code}`)).join("; ")) : null,
    el("ul", {}, ...some, left > 0 ? el("li", {}, word("print.more_doubts", { count: left })) : null),
  );
}

function predictions(answer) {
  const first = (answer?.predictions ?? []).slice(0, 6).map((one) =>
    el("li", {}, `${visible(one.code)} `, isolated(one.description), ` ${percent(one.probability)}`),
  );
  return first.length ? el("section", {}, el("h3", {}, word("answer.predictions")), el("ul", {}, ...first)) : null;
}

function hits(answer) {
  if (!answer) return null;
  const filtered = filterWords(answer.filter);
  const lines = (answer.hits ?? []).slice(0, HITS).map((hit) => {
    const text = shortened(hit.report.text);
    const [one] = hit.cases ?? [];
    return el(
      "li",
      {},
      isolated(text, hit.report.language),
      ` (${number(hit.score, 2)}${one ? `; ${visible(one.case_id)}, ${caseWords(one)}` : ""})`,
    );
  });
  return el(
    "div",
    {},
    el("h3", {}, word("hits.title")),
    filtered ? el("p", { class: "sheet-filter" }, shortened(filtered)) : null,
    lines.length ? el("ol", {}, ...lines) : el("p", {}, word("hits.none")),
  );
}

function shortened(text) {
  return text.length > LETTERS ? `${text.slice(0, LETTERS)}\u2026` : text;
}
