/**
 * The form that says what nearness means and which cases may be found.
 * @module
 */
import { el, fill, setAttributes } from "./dom.js";
import { visible } from "./plain_text.js";
import { translate, word } from "./words.js";

const NEARNESS = ["", "REPORT", "ECG", "BOTH"];
const SEXES = ["", "FEMALE", "MALE"];
const COUNTS = [5, 10, 20, 50];

/** A form of nearness and filter. */
export class QuestionForm {
  /**
   * Builds the form.
   * @param {HTMLElement} place Where it goes, below a summary that says which filter is in force.
   * @param {() => void} onAsk Called when it is sent.
   */
  constructor(place, onAsk) {
    this.prefix = place.id;
    this.part = place.closest("details");
    this.inForce = null;
    this.wrong = null;
    this.trouble = el("p", { id: `${this.prefix}-trouble`, class: "trouble", role: "alert" });
    this.form = el("form", { class: "question", autocomplete: "off", novalidate: true });
    fill(
      this.form,
      this.#choice("by", NEARNESS),
      this.#choice("top_k", COUNTS, 10),
      this.#field("min_age", { type: "number", min: 0, max: 150, inputmode: "numeric" }),
      this.#field("max_age", { type: "number", min: 0, max: 150, inputmode: "numeric" }),
      this.#choice("sex", SEXES),
      this.#field("with_codes", { placeholder: "AFIB, LVH" }),
      this.#field("without_codes", { placeholder: "PACE" }),
      this.#field("languages", { placeholder: "de, en" }),
      this.#field("devices", {}),
      this.#field("from_month", { placeholder: "2024-01", pattern: "[0-9]{4}-(0[1-9]|1[0-2])" }),
      this.#field("to_month", { placeholder: "2026-11", pattern: "[0-9]{4}-(0[1-9]|1[0-2])" }),
      el(
        "p",
        { class: "buttons" },
        el("button", { class: "primary", "data-word": "question.ask" }),
        el("button", { type: "reset", "data-word": "question.clear" }),
      ),
      this.trouble,
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      onAsk();
    });
    this.form.addEventListener("reset", () => setTimeout(onAsk));
    translate(this.form);
    place.append(this.form);
  }

  /**
   * Returns the question, unless a field is wrong: then says so, and goes there.
   * @returns {{top_k: number, by: string, filter: Object|null}|null} As the contract has it; `filter` is null where all
   *   may be found.
   */
  checked() {
    this.#mark([...this.form.elements].find((field) => !field.validity.valid) ?? null);
    if (this.wrong) {
      this.part.open = true;
      this.wrong.focus();
      return null;
    }
    const { by, top_k: count } = this.#values();
    return { top_k: Number(count), by, filter: this.#filter() };
  }

  /**
   * Says which filter is in force, also while the form is closed.
   * @param {Object|null} filter The filter of what is shown, or null.
   */
  tell(filter) {
    this.inForce = filter;
    this.part.querySelector(".filtered").textContent = filterWords(filter);
  }

  /** Says in the page's language what it has said. */
  translate() {
    this.tell(this.inForce);
    this.#mark(this.wrong);
  }

  #mark(wrong) {
    this.wrong?.removeAttribute("aria-invalid");
    this.wrong?.removeAttribute("aria-describedby");
    this.wrong = wrong;
    const kind = wrong?.type === "number" ? "age" : "month";
    const words = wrong ? word(`question.wrong.${kind}`, { field: word(`question.${wrong.name}`) }) : "";
    this.trouble.textContent = words;
    if (wrong) setAttributes(wrong, { "aria-invalid": true, "aria-describedby": this.trouble.id });
  }

  /** Returns the filter as a CaseFilter in JSON, or null where every case may be found. */
  #filter() {
    const values = this.#values();
    const filter = {};
    for (const name of ["min_age", "max_age"]) if (values[name] !== "") filter[name] = Number(values[name]);
    if (values.sex) filter.sex = `SEX_${values.sex}`;
    for (const name of ["with_codes", "without_codes", "languages", "devices"]) {
      const listed = values[name].split(/[,;]/).map((entry) => entry.trim()).filter(Boolean);
      if (listed.length) filter[name] = name.endsWith("codes") ? listed.map((code) => code.toUpperCase()) : listed;
    }
    for (const name of ["from_month", "to_month"]) if (values[name]) filter[name] = values[name].trim();
    return Object.keys(filter).length ? filter : null;
  }

  #values() {
    return Object.fromEntries(new FormData(this.form));
  }

  #field(name, attributes) {
    const id = `${this.prefix}-${name}`;
    const input = el("input", { id, name, type: "text", autocomplete: "off", ...attributes });
    return el("p", {}, el("label", { for: id, "data-word": `question.${name}` }), input);
  }

  #choice(name, values, chosen = "") {
    const id = `${this.prefix}-${name}`;
    const options = values.map((value) =>
      typeof value === "number"
        ? el("option", { value, selected: value === chosen }, String(value))
        : el("option", { value, "data-word": `question.${name}.${value || "any"}` }),
    );
    const label = el("label", { for: id, "data-word": `question.${name}` });
    return el("p", {}, label, el("select", { id, name }, ...options));
  }
}

/**
 * Says which cases a filter lets through.
 * @param {Object|null} filter A CaseFilter in JSON, or null.
 * @returns {string} For example "filtered: Age from 52; Sex female", or "" where there is none.
 */
export function filterWords(filter) {
  const parts = Object.entries(filter ?? {}).filter(([, value]) => isSet(value)).map(([name, value]) => {
    const words = name === "sex" ? word(`question.sex.${value.replace("SEX_", "")}`) : [value].flat().join(", ");
    return `${word(`question.${name}`)} ${visible(words)}`;
  });
  return parts.length ? word("question.filtered", { filter: parts.join("; ") }) : "";
}

/** Returns whether a field of a CaseFilter says something; in an answer those that do not are there too. */
function isSet(value) {
  return Array.isArray(value) ? value.length > 0 : !["", null, "SEX_UNSPECIFIED"].includes(value);
}

/**
 * Says what nearness meant in an answer.
 * @param {string} by A Nearness of the contract.
 * @returns {string} Its words.
 */
export function nearnessWords(by) {
  return word(`question.by.${(by ?? "").replace("NEARNESS_", "") || "any"}`);
}
