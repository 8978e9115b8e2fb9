/**
 * The list of the nearest reports with their cases.
 * @module
 */
import { el, fill } from "./dom.js";
import { marked } from "./marks.js";
import { isolated, languageTag, visible } from "./plain_text.js";
import { number, percent, word } from "./words.js";

/** The list of hits. */
export class HitList {
  /**
   * Takes a place for the list.
   * @param {HTMLElement} place An ordered list.
   * @param {(caseId: string, hit: Object) => void} onCase Called when a case is chosen.
   */
  constructor(place, onCase) {
    this.place = place;
    this.onCase = onCase;
    this.open = "";
  }

  /**
   * Shows an answer's hits.
   * @param {Object} answer The answer.
   */
  show(answer) {
    this.answer = answer;
    const hits = answer.hits ?? [];
    const none = el("li", { class: "none" }, word("hits.none"));
    fill(this.place, ...(hits.length ? hits.map((hit) => this.#hit(hit)) : [none]));
    this.chosen(this.open);
  }

  /**
   * Shows which case is open.
   * @param {string} caseId The case, or "".
   */
  chosen(caseId) {
    this.open = caseId;
    for (const button of this.place.querySelectorAll("button.case")) {
      button.setAttribute("aria-pressed", String(button.dataset.case === caseId));
    }
  }

  /**
   * Highlights hits.
   * @param {string[]} reportIds The reports of these hits; none to end it.
   */
  highlight(reportIds) {
    for (const hit of this.place.children) hit.classList.toggle("source", reportIds.includes(hit.dataset.report));
  }

  #hit(hit) {
    const { report } = hit;
    const shared = sharedStatements(this.answer, hit);
    const text = el("bdi", { dir: "auto", lang: languageTag(report.language) }, ...marked(report.text, shared));
    const cases = hit.cases ?? [];
    const count = report.record_count || (report.record_ids ?? []).length;
    return el(
      "li",
      { class: "hit", "data-report": report.report_id },
      el("p", { class: "hit-head" }, el("span", { class: "rank" }, `${hit.rank}`), similarities(hit)),
      el("p", { class: "report-text" }, text),
      why(shared),
      cases.length ? el("ul", { class: "cases" }, ...cases.map((one) => el("li", {}, this.#case(one, hit)))) : null,
      el("p", { class: "records" }, word("hits.records", { count })),
    );
  }

  #case(one, hit) {
    const similarity = one.similarity === undefined ? "" : `${word("hits.ecg")} ${number(one.similarity, 2)}`;
    return el(
      "button",
      {
        type: "button",
        class: "case",
        "data-case": one.case_id,
        "aria-pressed": "false",
        onclick: () => this.onCase(one.case_id, hit),
      },
      el("span", { class: "case-id" }, isolated(one.case_id)),
      el("span", {}, caseWords(one)),
      el("span", {}, one.has_ecg ? similarity || word("case.has_ecg") : word("case.no_ecg")),
    );
  }
}

/**
 * Says a case's age, sex and month.
 * @param {Object} one The case.
 * @returns {string} For example "63 years, female, 2026-11".
 */
export function caseWords(one) {
  const sex = (one.sex ?? "").replace("SEX_", "");
  const parts = [
    one.age === undefined || one.age === null ? "" : word("case.age", { age: one.age }),
    sex && sex !== "UNSPECIFIED" ? word(`question.sex.${sex}`) : "",
    visible(one.month ?? ""),
  ];
  return parts.filter(Boolean).join(", ");
}

/**
 * Returns the statements that both the asked ECG and a hit bear.
 * @param {Object} answer The answer; its predictions say what the ECG bears.
 * @param {Object} hit The hit; its report and its cases have statements.
 * @returns {{code: string, description: string, probability: number, support: number}[]} The most probable first.
 */
export function sharedStatements(answer, hit) {
  const supports = new Map();
  for (const statement of hit.report.statements ?? []) supports.set(statement.code, statement.support || 1);
  for (const one of hit.cases ?? []) {
    for (const statement of one.statements ?? []) {
      if (!supports.has(statement.code)) supports.set(statement.code, statement.support || 1);
    }
  }
  return (answer.predictions ?? [])
    .filter((prediction) => supports.has(prediction.code))
    .map((prediction) => ({ ...prediction, support: supports.get(prediction.code) }))
    .sort((one, other) => other.probability - one.probability);
}

function similarities(hit) {
  const one = (name, value) =>
    el(
      "span",
      { class: "similarity" },
      `${word(`hits.${name}`)} `,
      el("b", {}, value === undefined || value === null ? "\u2013" : number(value, 2)),
    );
  return el(
    "span",
    { class: "similarities" },
    one("report", hit.report_similarity),
    one("ecg", hit.ecg_similarity),
    one("score", hit.score),
    hit.match === undefined || hit.match === null ? null : one("match", hit.match),
  );
}

function why(shared) {
  if (!shared.length) return null;
  const lines = shared.map((one) =>
    el(
      "li",
      {},
      el("code", {}, visible(one.code)),
      " ",
      isolated(one.description),
      ": ",
      word("why.line", { ecg: percent(one.probability), report: percent(one.support) }),
    ),
  );
  const summary = word("why.title", { codes: shared.map((one) => visible(one.code)).join(", ") });
  return el("details", { class: "why" }, el("summary", {}, summary), el("ul", {}, ...lines));
}
