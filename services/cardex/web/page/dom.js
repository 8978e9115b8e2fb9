/**
 * Makes elements without ever parsing markup, so that the page works under Trusted Types.
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an HTML element.
 * @param {string} tag The element's name.
 * @param {Object<string, *>} [attributes] Attributes; a function under "onclick" and the like becomes a listener,
 *   true an empty attribute, and false, null and undefined are left out.
 * @param {...(Node|string|null|undefined)} children What it holds; strings become text.
 * @returns {HTMLElement} The element.
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Makes an SVG element; the parameters are those of `el`.
 * @returns {SVGElement} The element.
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Finds the one element with an id.
 * @param {string} id The id; the page is broken where it is missing.
 * @returns {HTMLElement} The element.
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page lacks #${id}`);
  return found;
}

/**
 * Sets several attributes of an element at once.
 * @param {Element} element The element.
 * @param {Object<string, string|number>} attributes The attributes.
 */
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}

/**
 * Replaces all children of an element.
 * @param {Element} element The element.
 * @param {...(Node|string|null|undefined)} children The new children.
 */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

/**
 * Offers bytes for saving under a name.
 * @param {Blob} blob The bytes.
 * @param {string} name The suggested file name.
 */
export function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
