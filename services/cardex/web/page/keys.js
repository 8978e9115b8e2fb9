/**
 * Keyboard shortcuts and the dialog that lists them.
 * @module
 */
import { byId, el, fill } from "./dom.js";
import { word } from "./words.js";

/** The shortcuts in the order of the help dialog. */
const LISTED = [
  ["o", "keys.open"],
  ["c", "keys.calipers"],
  ["\u2190 \u2192 \u2191 \u2193", "keys.arrows"],
  ["\u21e7 \u2190 \u2192 \u2191 \u2193", "keys.fine"],
  ["Tab", "keys.tab"],
  ["Esc", "keys.escape"],
  ["1 2 3", "keys.layout"],
  ["s", "keys.speed"],
  ["g", "keys.gain"],
  ["w", "keys.wander"],
  ["v", "keys.placing"],
  ["+ \u2212 0", "keys.zoom"],
  ["p", "keys.print"],
  ["l", "keys.link"],
  ["/", "keys.search"],
  ["t", "keys.theme"],
  ["?", "keys.help"],
];

/** What acts on the ECG does so only where it is seen. */
const OF_ECG = new Set(["c", "Escape", "1", "2", "3", "s", "g", "w", "v", "+", "-", "0", "l"]);

/**
 * Listens to the keyboard.
 * @param {Object<string, () => void>} actions What each key does.
 */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable]") && event.key !== "Escape") return;
    if (document.querySelector("dialog[open]")) return;
    const action = actions[event.key];
    if (!action || (OF_ECG.has(event.key) && byId("view-ecg").hidden)) return;
    event.preventDefault();
    action();
  });
}

/** Opens the help dialog. */
export function showHelp() {
  const rows = LISTED.map(([keys, words]) => {
    const shown = keys.split(" ").map((key) => el("kbd", {}, key));
    return el("tr", {}, el("th", { scope: "row" }, ...shown), el("td", {}, word(words)));
  });
  fill(byId("help-keys"), ...rows);
  byId("help").showModal();
}
