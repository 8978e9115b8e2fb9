/**
 * What the page remembers of how its reader likes it; nothing about ECGs and no key.
 * @module
 */
import { GAINS, LAYOUTS, SPEEDS } from "./layout.js";

const PLACE = "cardex.page";
const ALLOWED = {
  theme: ["auto", "light", "dark"],
  language: ["auto", "en", "de"],
  speed: SPEEDS,
  gain: GAINS,
  layout: Object.keys(LAYOUTS),
  placing: ["beside", "over"],
};

/** The settings in force. */
export const settings = { theme: "auto", language: "auto", speed: 25, gain: 10, layout: "3x4+1", placing: "beside" };

/** Reads what an earlier visit kept; what is not allowed is passed over. */
export function loadSettings() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    return; // storage is closed, or holds something else
  }
  for (const [name, allowed] of Object.entries(ALLOWED)) {
    if (allowed.includes(kept?.[name])) settings[name] = kept[name];
  }
}

/**
 * Changes a setting and keeps it.
 * @param {string} name Which.
 * @param {string|number} value Its new value.
 */
export function keep(name, value) {
  if (!ALLOWED[name].includes(value)) return;
  settings[name] = value;
  try {
    localStorage.setItem(PLACE, JSON.stringify(settings));
  } catch {
    // Without storage it holds until the page is left.
  }
}
