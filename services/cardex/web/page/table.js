/**
 * A table of any number of rows, of which only those in sight exist as elements.
 * @module
 */
import { el, fill, setAttributes } from "./dom.js";

const ROW_PX = 44;
const SPARE = 10;

/** A table that renders a window of its rows. */
export class WindowedTable {
  /**
   * @param {HTMLElement} place Where it goes.
   * @param {{name: string, words: () => string, cell: (row: Object) => Node|string}[]} columns The columns.
   * @param {(row: Object) => void} onRow Called when a row is chosen.
   */
  constructor(place, columns, onRow) {
    this.columns = columns;
    this.onRow = onRow;
    this.rows = [];
    this.waiting = false;
    this.head = el("div", { role: "row", class: "table-row table-head", "aria-rowindex": "1" });
    this.body = el("div", { role: "rowgroup", class: "table-body" });
    this.table = el(
      "div",
      { role: "table", class: "table" },
      el("div", { role: "rowgroup" }, this.head),
      this.body,
    );
    this.box = el("div", { class: "table-box", tabindex: "0", role: "region" }, this.table);
    this.box.addEventListener("scroll", () => this.#soon());
    new ResizeObserver(() => this.#soon()).observe(this.box);
    place.append(this.box);
    this.translate("");
  }

  /**
   * Shows rows; call it again when they have changed.
   * @param {Object[]} rows All rows.
   */
  show(rows) {
    this.rows = rows;
    this.#soon();
  }

  /**
   * Names table and columns in the page's language.
   * @param {string} label The table's name.
   */
  translate(label) {
    setAttributes(this.box, { "aria-label": label });
    setAttributes(this.table, { "aria-label": label });
    const heads = this.columns.map(({ name, words }) =>
      el("div", { role: "columnheader", class: `cell ${name}` }, words()),
    );
    fill(this.head, ...heads);
    this.#soon();
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#render();
    });
  }

  #render() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - SPARE);
    const after = Math.min(this.rows.length, first + Math.ceil(this.box.clientHeight / ROW_PX) + 2 * SPARE);
    this.body.style.height = `${this.rows.length * ROW_PX}px`;
    this.table.setAttribute("aria-rowcount", String(this.rows.length + 1));
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.row : null;
    fill(this.body, ...this.rows.slice(first, after).map((row, at) => this.#row(row, first + at)));
    if (focused) this.body.querySelector(`[data-row="${focused}"]`)?.focus({ preventScroll: true });
  }

  #button(row, at, inside) {
    const attributes = { type: "button", class: "plain", "data-row": at };
    return el("button", { ...attributes, onclick: () => this.onRow(row) }, inside);
  }

  #row(row, at) {
    const cells = this.columns.map((column, number) => {
      const inside = column.cell(row);
      const content = number ? inside : this.#button(row, at, inside);
      return el("div", { role: "cell", class: `cell ${column.name}` }, content);
    });
    const element = el("div", { role: "row", class: "table-row", "aria-rowindex": at + 2 }, ...cells);
    element.style.top = `${at * ROW_PX}px`;
    return element;
  }
}
