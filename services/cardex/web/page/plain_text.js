/**
 * Shows text of strangers: markup stays text, its direction stays inside, and control characters become visible.
 * @module
 */
import { el } from "./dom.js";

const CONTROLS =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/**
 * Replaces characters that would be invisible or would turn the direction of what follows.
 * @param {string} text Any text; line feeds and tabs are kept.
 * @returns {string} The text with symbols such as ‹U+202E› in their place, which every font has.
 */
export function visible(text) {
  return text.replace(/\r\n?/g, "\n").replace(CONTROLS, (character) => {
    const code = character.codePointAt(0);
    return `\u2039U+${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
  });
}

/**
 * Makes an element that isolates a text of unknown direction.
 * @param {string} text Any text.
 * @param {string} [language] Its ISO 639-1 code, for screen readers.
 * @returns {HTMLElement} A bdi element.
 */
export function isolated(text, language = "") {
  return el("bdi", { dir: "auto", lang: languageTag(language) }, visible(text));
}

/**
 * Checks what is said to be a language before it becomes an attribute.
 * @param {string} language What an answer says.
 * @returns {string|null} The code, or null where it is none.
 */
export function languageTag(language) {
  return /^[a-z]{2,3}$/i.test(language) ? language : null;
}
