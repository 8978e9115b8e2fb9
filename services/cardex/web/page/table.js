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
   * @param {{name: string, words: () => string, cell: (row: Object) => Node|string}[]} columns The columns; what the
   *   first one shows of a row never changes.
   * @param {(row: Object) => void} onRow Called when a row is chosen.
   */
  constructor(place, columns, onRow) {
    this.columns = columns;
    this.onRow = onRow;
    this.rows = [];
    this.waiting = false;
    /** The element of each row in sight; a row keeps its own, and with it the focus, wherever it goes. */
    this.elements = new Map();
    this.head = el("div", { role: "row", class: "table-row table-head", "aria-rowindex": "1" });
    this.body = el("div", { role: "rowgroup", class: "table-body" });
    this.table = el(
      "div",
      { role: "table", class: "table" },
      el("div", { role: "rowgroup" }, this.head),
      this.body,
    );
    this.box = el("div", { class: "table-box", tabindex: "0", role: "region" }, this.table);
    this.body.addEventListener("click", (event) => this.#choose(event));
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
    const shown = this.rows.slice(first, after);
    this.#removeAllBut(new Set(shown));
    shown.forEach((row, at) => {
      const element = this.#elementOf(row);
      this.#place(element, first + at);
      this.columns.slice(1).forEach((column, number) => update(element.children[number + 1], column.cell(row)));
      // An element that is moved loses the focus, and rows keep their order, so that new ones alone are put in.
      if (this.body.children[at] !== element) this.body.insertBefore(element, this.body.children[at] ?? null);
    });
  }

  #removeAllBut(shown) {
    for (const [row, element] of this.elements) {
      if (shown.has(row)) continue;
      // Enter must not open another row than the one that it was meant for.
      if (element.contains(document.activeElement)) this.box.focus({ preventScroll: true });
      element.remove();
      this.elements.delete(row);
    }
  }

  #elementOf(row) {
    const kept = this.elements.get(row);
    if (kept) return kept;
    const [first, ...others] = this.columns;
    const button = el("button", { type: "button", class: "plain" }, first.cell(row));
    const cells = [
      el("div", { role: "cell", class: `cell ${first.name}` }, button),
      ...others.map(({ name }) => el("div", { role: "cell", class: `cell ${name}` })),
    ];
    const element = el("div", { role: "row", class: "table-row" }, ...cells);
    this.elements.set(row, element);
    return element;
  }

  #place(element, at) {
    element.setAttribute("aria-rowindex", String(at + 2));
    element.style.top = `${at * ROW_PX}px`;
  }

  #choose(event) {
    const button = event.target.closest("button");
    const found = [...this.elements].find(([, element]) => button && element.contains(button));
    if (found) this.onRow(found[0]);
  }
}

/** Shows something in a cell, which is left alone where it shows the same. */
function update(cell, inside) {
  const next = cell.cloneNode(false);
  next.append(inside);
  if (!next.isEqualNode(cell)) cell.replaceChildren(...next.childNodes);
}
