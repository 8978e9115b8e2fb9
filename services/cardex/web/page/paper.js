/**
 * Draws an ECG on grid paper as SVG whose user unit is a millimetre, one path for each piece of a lead.
 * @module
 */
import { el, fill, setAttributes, svg } from "./dom.js";
import { layOut, MARGIN_MM } from "./layout.js";
import { median } from "./trace.js";
import { number, word } from "./words.js";

const STEP_MM = 0.01; // coordinates are whole numbers of this: a tenth of what a printer resolves
const PULSE_S = 0.2;
const LABEL_MM = 12;

/** A box that scrolls, with a drawing and a layer above it for what moves. */
export class Paper {
  /**
   * Puts an empty paper into an element.
   * @param {HTMLElement} place Where it goes.
   */
  constructor(place) {
    this.drawing = svg("svg", { class: "paper-drawing", role: "img" });
    /** What moves is drawn apart, so that moving it does not paint the ECG again. */
    this.layer = svg("svg", { class: "paper-layer" });
    this.sheet = el("div", { class: "paper-sheet" }, this.drawing, this.layer);
    this.box = el("div", { class: "paper", tabindex: "0", role: "group" }, this.sheet);
    this.zoom = 1;
    this.geometry = null;
    place.append(this.box);
  }

  /**
   * Draws an ECG, and another one over it where one is given.
   * @param {Object} what What to draw.
   * @param {import("./trace.js").Ecg} what.ecg The ECG.
   * @param {import("./layout.js").Style} what.style Speed, gain and layout.
   * @param {Object[]} [what.warnings] Signal warnings; those of a lead stand beside it.
   * @param {import("./trace.js").Ecg|null} [what.over] The other ECG; its first R peak is put on that of the ECG.
   * @param {string} [what.label] What screen readers say.
   */
  draw({ ecg, style, warnings = [], over = null, label = word("paper.label") }) {
    const began = performance.now();
    this.style = style;
    this.geometry = layOut(style);
    fill(this.drawing, ...drawn(this.geometry, { ecg, style, warnings, over }));
    const words = `${label}, ${style.layout}, ${style.speed} mm/s, ${style.gain} mm/mV`;
    this.drawing.setAttribute("aria-label", words);
    this.box.setAttribute("aria-label", words);
    this.size();
    performance.measure("cardex:paper", { start: began, end: performance.now() });
  }

  /** Sets the size on the screen; a millimetre is one where the zoom is 1. */
  size() {
    if (!this.geometry) return;
    const { width, height } = this.geometry;
    for (const layer of [this.drawing, this.layer]) {
      setAttributes(layer, {
        viewBox: `0 0 ${width} ${height}`,
        width: `${width * this.zoom}mm`,
        height: `${height * this.zoom}mm`,
      });
    }
  }

  /**
   * Zooms; what is in the middle stays there.
   * @param {number} zoom 1 is true scale.
   */
  zoomTo(zoom) {
    const { box } = this;
    const share = (box.scrollLeft + box.clientWidth / 2) / Math.max(1, box.scrollWidth);
    this.zoom = zoom;
    this.size();
    box.scrollLeft = share * box.scrollWidth - box.clientWidth / 2;
  }

  /**
   * Turns a place on the screen into one on the paper.
   * @param {{clientX: number, clientY: number}} event A pointer event.
   * @returns {{x: number, y: number}} Millimetres from the paper's top left.
   */
  placeOf(event) {
    const seen = this.layer.getBoundingClientRect();
    return {
      x: ((event.clientX - seen.left) / seen.width) * this.geometry.width,
      y: ((event.clientY - seen.top) / seen.height) * this.geometry.height,
    };
  }
}

/**
 * Makes an SVG for the printed page.
 * @param {import("./trace.js").Ecg} ecg The ECG.
 * @param {import("./layout.js").Style} style Speed, gain and layout.
 * @param {Object[]} warnings Signal warnings.
 * @param {{strip: number, height: number}} room Sizes in mm.
 * @returns {SVGElement} The drawing, in millimetres.
 */
export function printed(ecg, style, warnings, room) {
  const geometry = layOut(style, room);
  const { width, height } = geometry;
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width: `${width}mm`, height: `${height}mm`, role: "img" },
    ...drawn(geometry, { ecg, style, warnings, over: null }),
  );
}

/**
 * Draws the grid: thin lines every millimetre, thick ones every five.
 * @param {number} width Its width, mm.
 * @param {number} height Its height, mm.
 * @returns {SVGElement[]} Background and lines; no pattern, which printers would turn into pixels.
 */
export function grid(width, height) {
  const lines = (step, skip) => {
    let path = "";
    for (let x = 0; x <= width; x += step) if (!skip || x % skip) path += `M${x} 0v${height}`;
    for (let y = 0; y <= height; y += step) if (!skip || y % skip) path += `M0 ${y}h${width}`;
    return path;
  };
  return [
    svg("rect", { class: "paper-back", width, height }),
    svg("path", { class: "grid-thin", d: lines(1, 5) }),
    svg("path", { class: "grid-thick", d: lines(5, 0) }),
  ];
}

/**
 * Returns the path of a piece of a lead, with its median on the baseline.
 * @param {Float32Array} lead The lead, mV.
 * @param {number} rate Samples a second.
 * @param {import("./layout.js").Cell} cell Its place.
 * @param {import("./layout.js").Style} style Speed and gain.
 * @returns {string} The path in steps of 0.01 mm, empty where the ECG has nothing there.
 */
export function pathOf(lead, rate, cell, style) {
  const first = Math.max(0, Math.ceil(cell.time * rate - 1e-6));
  const after = Math.min(lead.length, Math.floor((cell.time + cell.width / style.speed) * rate + 1e-6) + 1);
  if (after - first < 2) return "";
  const level = median(lead.subarray(first, after));
  let path = "";
  let lastX = 0;
  let lastY = 0;
  for (let at = first; at < after; at += 1) {
    const x = Math.round((cell.x + (at / rate - cell.time) * style.speed) / STEP_MM);
    const y = Math.round((cell.baseline - (lead[at] - level) * style.gain) / STEP_MM);
    // Relative steps are short, and rounded in absolute coordinates, so that no error adds up.
    path += at === first ? `M${x} ${y}l` : `${x - lastX} ${y - lastY} `;
    lastX = x;
    lastY = y;
  }
  return path;
}

function drawn(geometry, { ecg, style, warnings, over }) {
  const clip = `clip-${(drawn.count = (drawn.count ?? 0) + 1)}`;
  const { width, height, cells } = geometry;
  return [
    svg("defs", {}, svg("clipPath", { id: clip }, svg("rect", { width, height }))),
    ...grid(width, height),
    svg("g", { "clip-path": `url(#${clip})` }, over && leads(over, cells, style, "over", shiftOf(ecg, over)),
      pulses(geometry, style), ticks(cells), leads(ecg, cells, style, "ink", 0)),
    ...cells.map((cell) => label(cell, geometry, warnings, topOf(ecg, cell, style))),
  ];
}

/** Returns by how many seconds the other ECG's first R peak comes later. */
function shiftOf(ecg, over) {
  if (!ecg.rPeaks.length || !over.rPeaks.length) return 0;
  return over.rPeaks[0] / over.rate - ecg.rPeaks[0] / ecg.rate;
}

function leads(ecg, cells, style, ink, shift) {
  const paths = cells.map((cell) => {
    // What would begin before the ECG does begins later on the paper.
    const time = cell.time + shift;
    const late = Math.max(0, -time);
    const gap = late * style.speed;
    const placed = { ...cell, time: time + late, x: cell.x + gap, width: cell.width - gap };
    const path = pathOf(ecg.leads[cell.lead], ecg.rate, placed, style);
    return path && svg("path", { class: "trace", "data-lead": cell.lead, d: path });
  });
  const pen = { transform: `scale(${STEP_MM})`, "stroke-width": 0.25 / STEP_MM };
  return svg("g", { class: ink, ...pen }, ...paths.filter(Boolean));
}

function pulses({ baselines }, style) {
  const width = PULSE_S * style.speed;
  const x = (MARGIN_MM - width) / 2;
  const path = baselines.map((y) => `M${x - 2} ${y}h2v${-style.gain}h${width}v${style.gain}h2`).join("");
  return svg("path", { class: "pulse", d: path });
}

function ticks(cells) {
  const between = cells.filter((cell) => cell.x > MARGIN_MM);
  return svg("path", { class: "tick", d: between.map((cell) => `M${cell.x} ${cell.baseline - 8}v3m0 10v3`).join("") });
}

/** Returns how high the trace goes where its label would be, in mm above its baseline. */
function topOf(ecg, cell, style) {
  const lead = ecg.leads[cell.lead];
  const first = Math.round(cell.time * ecg.rate);
  const piece = lead.subarray(first, first + Math.ceil((LABEL_MM / style.speed) * ecg.rate));
  return piece.length ? (Math.max(...piece) - median(piece)) * style.gain : 0;
}

function label(cell, { pitch }, warnings, top) {
  const own = warnings.filter((warning) => (warning.leads ?? []).includes(cell.lead));
  const roomy = pitch >= 20;
  const above = Math.min(Math.max(top + 1.5, 6), Math.floor(0.6 * pitch) - 4); // the row's own room
  const place = roomy ? { x: cell.x + 1.5, y: cell.baseline - above } : { x: 0.7, y: cell.baseline + 1.2 };
  const name = svg("text", { class: "lead-name", ...place }, cell.lead);
  if (!own.length) return name;
  const words = [...new Set(own.map((warning) => word(`warning.${warning.code}`)))].join(", ");
  const beside = { x: place.x + (roomy ? 11 : 0), y: place.y + (roomy ? 0 : 2.6) };
  return svg(
    "g",
    { class: "lead-doubt", "data-lead": cell.lead },
    svg("title", {}, own.map((warning) => warning.message).join("\n")),
    name,
    svg("text", { class: "lead-warning", ...beside }, `\u26a0 ${words}`),
  );
}

/**
 * Says which part of its recording an ECG is: the server takes the best ten seconds of a longer one.
 * @param {import("./trace.js").Ecg} ecg The ECG.
 * @param {number} [seconds] How much of it is shown; all of it where it is not given.
 * @returns {string} For example "10 s from 0:10".
 */
export function extentWords(ecg, seconds = ecg.samples / ecg.rate) {
  return word("paper.extent", { seconds: number(Math.round(10 * seconds) / 10), start: clock(ecg.start) });
}

function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const rest = (tenths % 600) / 10;
  const minutes = Math.floor(tenths / 600);
  const hours = Math.floor(minutes / 60);
  const padded = (value) => (value < 10 ? "0" : "") + number(value);
  return `${hours ? `${hours}:${padded(minutes % 60)}` : minutes}:${padded(rest)}`;
}

/**
 * Says how a paper is scaled.
 * @param {import("./layout.js").Style} style Speed, gain and layout.
 * @returns {string} For example "25 mm/s, 10 mm/mV".
 */
export function scaleWords(style) {
  return `${number(style.speed)} mm/s, ${number(style.gain)} mm/mV`;
}
