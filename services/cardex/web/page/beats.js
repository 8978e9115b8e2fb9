/**
 * Draws the median beats of two ECGs over each other.
 * @module
 */
import { svg } from "./dom.js";
import { grid } from "./paper.js";
import { median, medianBeat } from "./trace.js";
import { word } from "./words.js";

const SPEED = 50; // mm/s; beats are short
const CELL = { width: 40, height: 35, baseline: 22 };
const ORDER = ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6"];
const STEP_MM = 0.01;

/**
 * Draws the beats of two ECGs, aligned at their R peaks.
 * @param {import("./trace.js").Ecg} asked The asked ECG.
 * @param {import("./trace.js").Ecg} other The case's ECG.
 * @param {number} gain Millimetres a millivolt.
 * @returns {SVGElement|null} The drawing, or null where one of them has no whole beat.
 */
export function beatsOf(asked, other, gain) {
  const beats = [[medianBeat(other), "over"], [medianBeat(asked), "ink"]];
  if (beats.some(([beat]) => beat === null)) return null;
  const width = 4 * CELL.width;
  const height = 3 * CELL.height;
  const groups = beats.map(([beat, ink]) =>
    svg(
      "g",
      { class: ink, transform: `scale(${STEP_MM})`, "stroke-width": 0.25 / STEP_MM },
      ...ORDER.map((lead, at) => svg("path", { class: "trace", "data-lead": lead, d: beatPath(beat, lead, at, gain) })),
    ),
  );
  const names = ORDER.map((lead, at) => {
    const place = { x: (at % 4) * CELL.width + 1.5, y: Math.floor(at / 4) * CELL.height + 5 };
    return svg("text", { class: "lead-name", ...place }, lead);
  });
  return svg(
    "svg",
    {
      class: "beats",
      role: "img",
      viewBox: `0 0 ${width} ${height}`,
      width: `${width}mm`,
      height: `${height}mm`,
      "aria-label": word("case.beats.label", { asked: beats[1][0].count, other: beats[0][0].count }),
    },
    ...grid(width, height),
    ...groups,
    ...names,
  );
}

function beatPath(beat, lead, at, gain) {
  const values = beat.leads[lead];
  const left = (at % 4) * CELL.width + 2.5;
  const baseline = Math.floor(at / 4) * CELL.height + CELL.baseline;
  const level = median(values.subarray(0, Math.max(1, Math.round(beat.rate * 0.1)))); // before the P wave, mostly
  const rate = SPEED / beat.rate;
  return Array.from(values, (value, sample) => {
    const x = Math.round((left + sample * rate) / STEP_MM);
    const y = Math.round((baseline - (value - level) * gain) / STEP_MM);
    return `${sample ? "L" : "M"}${x} ${y}`;
  }).join("");
}
