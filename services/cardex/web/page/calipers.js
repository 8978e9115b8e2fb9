/**
 * Calipers over a paper: two lines in time and two in voltage, moved by mouse, touch and keyboard.
 * @module
 */
import { setAttributes, svg } from "./dom.js";
import { number, word } from "./words.js";

const QUANTUM_MM = 0.05;
const COARSE_MM = 1;
const SIDES = ["left", "right", "top", "bottom"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The calipers of one paper. */
export class Calipers {
  /**
   * Makes calipers, which are not shown yet.
   * @param {import("./paper.js").Paper} paper The paper.
   * @param {(words: string) => void} onMeasure Called with what they measure, or "" once they are gone.
   */
  constructor(paper, onMeasure) {
    this.paper = paper;
    this.onMeasure = onMeasure;
    this.at = null;
    this.dragged = null;
    this.waiting = false;
    paper.layer.addEventListener("pointerdown", (event) => this.#press(event));
    paper.layer.addEventListener("pointermove", (event) => this.#move(event));
    paper.layer.addEventListener("pointerup", (event) => this.#release(event));
    paper.layer.addEventListener("pointercancel", () => (this.dragged = null));
    // touch-action is not heeded within SVG everywhere, so a finger on a line is kept from scrolling by this.
    paper.layer.addEventListener("touchstart", (event) => sideOf(event) && event.preventDefault(), { passive: false });
    paper.layer.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Whether they are shown. */
  get shown() {
    return this.at !== null;
  }

  /** Shows them in the middle of what is seen of the paper. */
  show() {
    const { box, layer, geometry } = this.paper;
    const perMm = layer.getBoundingClientRect().width / geometry.width;
    const middle = (box.scrollLeft + box.clientWidth / 2) / perMm;
    const x = Math.min(Math.max(middle, 15), geometry.width - 15);
    const y = Math.min((box.scrollTop + box.clientHeight / 2) / perMm, geometry.height - 15);
    this.at = { left: x - 10, right: x + 10, top: y - 5, bottom: y + 5 };
    if (!this.handles) this.#build();
    layer.classList.add("measuring");
    layer.replaceChildren(...this.parts);
    this.place();
    this.handles.left.focus({ preventScroll: true });
  }

  /** Removes them. */
  hide() {
    this.at = null;
    this.dragged = null;
    this.paper.layer.classList.remove("measuring");
    this.paper.layer.replaceChildren();
    this.onMeasure("");
  }

  /** Shows them, or removes them. */
  toggle() {
    if (this.shown) this.hide();
    else this.show();
  }

  /**
   * Returns what they measure.
   * @returns {{ms: number, mv: number, bpm: number|null}} Time, voltage, and the rate if the time is that of a beat.
   */
  get measured() {
    const { speed, gain } = this.paper.style;
    const ms = (Math.abs(this.at.right - this.at.left) / speed) * 1000;
    return { ms, mv: Math.abs(this.at.bottom - this.at.top) / gain, bpm: ms > 0 ? 60_000 / ms : null };
  }

  /** Puts the lines where they belong; they move onto the paper when it changes its size. */
  place() {
    if (!this.shown) return;
    this.#shift(this.at, 0, 0);
    this.#keepOnPaper();
    const { width, height } = this.paper.geometry;
    const { left, right, top, bottom } = this.at;
    const words = this.words();
    for (const side of SIDES) this.#placeHandle(side, words);
    const x = Math.min(Math.max(left, right) + 2, width - 51);
    const y = Math.max(Math.min(top, bottom) - 2, 6);
    this.readout.setAttribute("transform", `translate(${x} ${y})`);
    this.reading.textContent = words;
    setAttributes(this.area, {
      x: Math.min(left, right),
      y: Math.min(top, bottom),
      width: Math.abs(right - left),
      height: Math.abs(bottom - top),
    });
    this.onMeasure(words);
  }

  /**
   * Says what they measure.
   * @returns {string} For example "200 ms, 1.00 mV, 300 bpm".
   */
  words() {
    const { ms, mv, bpm } = this.measured;
    const rate = bpm === null ? "\u2013" : number(bpm, 0);
    return `${number(ms, 0)} ms, ${number(mv, 2)} mV, ${rate} ${word("unit.bpm")}`;
  }

  /** Names the handles in the page's language. */
  translate() {
    if (!this.handles) return;
    for (const side of SIDES) this.handles[side].setAttribute("aria-label", word(`calipers.${side}`));
    this.readout.setAttribute("aria-label", word("calipers.all"));
    this.place();
  }

  #build() {
    this.handles = Object.fromEntries(SIDES.map((side) => [side, handle(side)]));
    this.area = svg("rect", { class: "caliper-area" });
    this.reading = svg("text", { class: "caliper-reading", x: 1.5, y: 0 });
    this.readout = svg(
      "g",
      { class: "caliper-readout", tabindex: "0", role: "button", "data-side": "all" },
      svg("rect", { x: 0, y: -4, width: 50, height: 5.5, rx: 1 }),
      this.reading,
    );
    this.parts = [this.area, ...Object.values(this.handles), this.readout];
    this.translate();
  }

  #placeHandle(side, words) {
    const { width, height } = this.paper.geometry;
    const { left, right, top, bottom } = this.at;
    const at = this.at[side];
    const time = isTime(side);
    const line = time ? { x1: at, x2: at, y1: 0, y2: height } : { x1: 0, x2: width, y1: at, y2: at };
    const [seen, grip, knob] = this.handles[side].children;
    setAttributes(seen, line);
    setAttributes(grip, line);
    setAttributes(knob, time ? { cx: at, cy: (top + bottom) / 2 } : { cx: (left + right) / 2, cy: at });
    const { speed, gain } = this.paper.style;
    setAttributes(this.handles[side], {
      "aria-valuemin": 0,
      "aria-valuemax": time ? Math.round((width / speed) * 1000) : Math.round((height / gain) * 1000),
      "aria-valuenow": Math.round((at / (time ? speed : gain)) * 1000),
      "aria-valuetext": words,
    });
  }

  #press(event) {
    if (!this.shown || event.button !== 0) return;
    const side = sideOf(event);
    if (!side && event.pointerType === "touch") return; // a finger beside the lines scrolls the paper
    const { x, y } = this.paper.placeOf(event);
    this.began = { ...this.at, x, y };
    this.dragged = side ?? "new";
    this.moved = false;
    if (side) this.handles[side]?.focus({ preventScroll: true });
    performance.clearMeasures("cardex:calipers");
    this.paper.layer.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  #move(event) {
    if (!this.dragged) return;
    this.moved = true;
    this.pointer = { clientX: event.clientX, clientY: event.clientY };
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.dragged && this.shown) this.#drag(this.paper.placeOf(this.pointer));
    });
  }

  #release(event) {
    // The last move may still wait for its frame.
    if (this.moved && this.dragged && this.shown) this.#drag(this.paper.placeOf(event));
    this.dragged = null;
  }

  #drag({ x, y }) {
    const start = performance.now();
    const { began } = this;
    const side = this.dragged;
    if (side === "new") this.at = { left: began.x, right: x, top: began.y, bottom: y };
    else if (side === "all") this.#shift(began, x - began.x, y - began.y);
    else this.at[side] = began[side] + (isTime(side) ? x - began.x : y - began.y);
    this.#keepOnPaper();
    this.place();
    performance.measure("cardex:calipers", { start, end: performance.now() });
  }

  /** Moves all lines as far as they stay on the paper, so that what they measure stays too. */
  #shift(from, x, y) {
    const { left, right, top, bottom } = from;
    const { width, height } = this.paper.geometry;
    const across = way(left, right, x, width);
    const down = way(top, bottom, y, height);
    this.at = { left: left + across, right: right + across, top: top + down, bottom: bottom + down };
  }

  /** Stops each line at the paper's edge by itself. */
  #keepOnPaper() {
    const { width, height } = this.paper.geometry;
    for (const side of SIDES) this.at[side] = rounded(this.at[side], isTime(side) ? width : height);
  }

  #key(event) {
    const side = sideOf(event);
    const arrow = ARROWS[event.key];
    if (!side || !arrow || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = event.shiftKey ? QUANTUM_MM : COARSE_MM;
    const [x, y] = arrow.map((direction) => direction * step);
    if (side === "all") this.#shift(this.at, x, y);
    else this.at[side] += isTime(side) ? x : y;
    this.#keepOnPaper();
    this.place();
    event.preventDefault();
    event.stopPropagation();
  }
}

function handle(side) {
  return svg(
    "g",
    {
      class: `caliper-handle ${isTime(side) ? "in-time" : "in-voltage"}`,
      role: "slider",
      tabindex: "0",
      "data-side": side,
      "aria-orientation": isTime(side) ? "horizontal" : "vertical",
      "aria-valuenow": 0,
    },
    svg("line", { class: "caliper-line" }),
    svg("line", { class: "caliper-grip" }),
    svg("circle", { class: "caliper-knob", r: 1.6 }),
  );
}

function sideOf(event) {
  return event.target.closest("[data-side]")?.dataset.side;
}

function isTime(side) {
  return side === "left" || side === "right";
}

/** Returns how much of a way two lines may go together before one of them leaves the paper. */
function way(one, other, by, most) {
  return inQuanta(Math.max(Math.min(by, most - Math.max(one, other)), -Math.min(one, other)));
}

function rounded(at, most) {
  return inQuanta(Math.min(Math.max(at, 0), most));
}

function inQuanta(mm) {
  return Math.round(mm / QUANTUM_MM) * QUANTUM_MM;
}
