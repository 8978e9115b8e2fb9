/**
 * The places of leads on grid paper, in millimetres.
 * @module
 */

const COLUMNS = [
  ["I", "aVR", "V1", "V4"],
  ["II", "aVL", "V2", "V5"],
  ["III", "aVF", "V3", "V6"],
];

/** The rows of each layout, top first; the leads of a row follow each other in time. */
export const LAYOUTS = {
  "3x4+1": [...COLUMNS, ["II"]],
  "6x2": ["I", "II", "III", "aVR", "aVL", "aVF"].map((name, row) => [name, `V${row + 1}`]),
  "12x1": ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"].map((name) => [name]),
};
export const SPEEDS = [25, 50];
export const GAINS = [5, 10, 20];

/** Width of the margin before the strips, for the calibration pulse. */
export const MARGIN_MM = 15;
const ABOVE = 0.6; // most R waves are taller than S waves are deep
const STRIP_S = 10;
const PITCH_MM = { 4: 40, 6: 30, 12: 20 };

/**
 * Speed, gain and layout of a paper.
 * @typedef {Object} Style
 * @property {number} speed 25 or 50 mm/s.
 * @property {number} gain 5, 10 or 20 mm/mV.
 * @property {string} layout A key of `LAYOUTS`.
 */

/**
 * The place of one lead.
 * @typedef {Object} Cell
 * @property {string} lead Its name.
 * @property {number} x Where it begins, mm from the left.
 * @property {number} width Its width, mm.
 * @property {number} baseline Its baseline, mm from the top.
 * @property {number} time Where it begins in the trace, s.
 */

/**
 * Lays out a paper. Each column stands at its own time, also where an ECG ends before it, so that all rows have one
 * time at one place.
 * @param {Style} style Speed, gain and layout.
 * @param {{strip?: number, height?: number}} [room] Width of a strip and height of the grid in mm, where these are
 *   limited, as on a printed page.
 * @returns {{width: number, height: number, pitch: number, baselines: number[], cells: Cell[]}} Sizes in mm.
 */
export function layOut(style, room = {}) {
  const rows = LAYOUTS[style.layout];
  const strip = room.strip ?? STRIP_S * style.speed;
  const usual = PITCH_MM[rows.length] * (style.gain > 10 ? 1.5 : 1);
  const pitch = room.height ? Math.floor(room.height / rows.length) : usual;
  const height = room.height ?? Math.ceil((pitch * rows.length) / 5) * 5;
  const baselines = rows.map((_, row) => row * pitch + Math.floor(ABOVE * pitch));
  const cells = rows.flatMap((leads, row) => {
    const width = strip / leads.length;
    return leads.map((lead, column) => ({
      lead,
      x: MARGIN_MM + column * width,
      width,
      baseline: baselines[row],
      time: (column * width) / style.speed,
    }));
  });
  return { width: MARGIN_MM + strip + 10, height, pitch, baselines, cells };
}
