/**
 * The page's words in the language of its reader.
 * @module
 */
import { EN } from "./words-en.js";

const LANGUAGES = { en: async () => EN, de: async () => (await import("./words-de.js")).DE };
const NAMED = {
  "data-word-label": "aria-label",
  "data-word-placeholder": "placeholder",
  "data-word-title": "title",
};
let language = "en";
let words = EN;

/**
 * Returns the language that a browser prefers, as far as the page speaks it.
 * @returns {string} "en" or "de".
 */
export function preferredLanguage() {
  const known = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase());
  return known.find((tag) => tag in LANGUAGES) ?? "en";
}

/** Returns the language that the page speaks. */
export function currentLanguage() {
  return language;
}

/**
 * Makes the page speak a language: sets `lang`, and all elements that name their words.
 * @param {string} wanted "en" or "de"; English stands for any other.
 */
export async function speak(wanted) {
  const known = wanted in LANGUAGES ? wanted : "en";
  words = await LANGUAGES[known]();
  language = known;
  document.documentElement.lang = language;
  translate(document);
}

/**
 * Returns words.
 * @param {string} key Which; where there are none, its last part is returned.
 * @param {Object<string, string|number>} [values] What goes into their {gaps}.
 * @returns {string} The words.
 */
export function word(key, values = {}) {
  const found = words[key] ?? EN[key] ?? key.slice(key.indexOf(".") + 1);
  return found.replace(/\{(\w+)\}/g, (gap, name) => (name in values ? String(values[name]) : gap));
}

/**
 * Writes a number as the language does.
 * @param {number} value The number.
 * @param {number} [digits] Digits after the point; as many as it has where it is not given.
 * @returns {string} For example "0,82" in German.
 */
export function number(value, digits) {
  const options = digits === undefined ? {} : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return format(options).format(value);
}

/**
 * Writes a share as per cent.
 * @param {number} share In [0, 1].
 * @returns {string} For example "82 %".
 */
export function percent(share) {
  return `${number(100 * share, 0)}\u00a0%`;
}

const formats = new Map();

function format(options) {
  const key = `${language}${options.minimumFractionDigits}`;
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language, options));
  return formats.get(key);
}

/**
 * Sets the words of elements with data-word (text), data-word-label, data-word-placeholder and data-word-title.
 * @param {ParentNode} root Where to look.
 */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const [name, attribute] of Object.entries(NAMED)) {
    for (const element of root.querySelectorAll(`[${name}]`)) {
      element.setAttribute(attribute, word(element.getAttribute(name)));
    }
  }
}
