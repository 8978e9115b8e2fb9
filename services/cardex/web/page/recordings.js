/**
 * Sorts dropped and chosen files into recordings: a WFDB header and its signals are one.
 * @module
 */

const HIDDEN = /(^|\/)(\.|__MACOSX\/)/;
const LISTS = /(^|\/)(RECORDS[^/]*|SHA\d+SUMS[^/]*|LICENSE)$/;
const OTHERS = /\.(txt|md|pdf|html?|jpe?g|png|gif|json|jsonl|py|log|atr|qrs|ann|svg|docx?|xlsx?)$/i;
const HEADER = /\.hea$/i;
const HEADER_BYTES = 65_536;
const SIGNAL_ENDINGS = [".dat", ".mat", ".d16", ".bin", ".xws"];
const READ_AT_ONCE = 64;

/**
 * One recording.
 * @typedef {Object} Recording
 * @property {string} name Its path, shown to whoever dropped it and sent nowhere.
 * @property {File[]} files Its files, a WFDB header first.
 */

/**
 * Reads what was dropped, with the folders in it. Call it at once: the browser forgets what was dropped.
 * @param {DataTransfer} transfer What was dropped.
 * @returns {Promise<{path: string, file: File}[]>} The files with their paths.
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return chosen(transfer.files);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

/**
 * Reads what was chosen by a file or folder input.
 * @param {FileList|File[]} files The files.
 * @returns {{path: string, file: File}[]} The files with their paths.
 */
export function chosen(files) {
  return [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader gives at most a hundred entries at a time, and none once it has given all.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) await walk(child, found);
  }
}

/**
 * Sorts files into recordings.
 * @param {{path: string, file: File}[]} files The files.
 * @returns {Promise<{recordings: Recording[], passedOver: number}>} The recordings in the order of their names, and how
 *   many files were passed over because they are no ECG.
 */
export async function sorted(files) {
  const byPath = new Map();
  for (const one of files) byPath.set(unused(one.path, byPath), one);
  const companions = await companionsOfHeaders(byPath);
  const taken = new Set([...companions.keys(), ...[...companions.values()].flat()]);
  const recordings = [...companions].map(([header, others]) => ({
    name: byPath.get(header).path,
    files: [header, ...others].map((key) => byPath.get(key).file),
  }));
  let passedOver = 0;
  for (const [key, { path, file }] of byPath) {
    if (taken.has(key)) continue;
    if (isNoEcg(path)) passedOver += 1;
    else recordings.push({ name: path, files: [file] });
  }
  recordings.sort((one, other) => (one.name < other.name ? -1 : 1));
  return { recordings, passedOver };
}

function isNoEcg(path) {
  return [HIDDEN, LISTS, OTHERS].some((names) => names.test(path));
}

/** Returns a path under which nothing is kept yet: files from several folders may have one name. */
function unused(path, byPath) {
  let key = path;
  for (let count = 2; byPath.has(key); count += 1) key = `${count}/${path}`;
  return key;
}

/** Returns the signal files of each WFDB header, all by their paths. */
async function companionsOfHeaders(byPath) {
  const find = finder(byPath);
  const headers = [...byPath.keys()].filter((key) => HEADER.test(key) && !isNoEcg(byPath.get(key).path));
  const companions = new Map();
  for (let first = 0; first < headers.length; first += READ_AT_ONCE) {
    const some = headers.slice(first, first + READ_AT_ONCE);
    const texts = await Promise.all(some.map((key) => startOf(byPath.get(key).file)));
    some.forEach((key, at) => companions.set(key, companionsOf(key, texts[at], find)));
  }
  return companions;
}

/** Returns what finds a path among others, in letters of another case only where none is the very same. */
function finder(byPath) {
  const inAnyCase = new Map([...byPath.keys()].reverse().map((key) => [key.toLowerCase(), key]));
  return (path) => (byPath.has(path) ? path : inAnyCase.get(path.toLowerCase()));
}

/** Returns what a header names beside it, and what has its stem. */
function companionsOf(key, header, find) {
  const stem = key.replace(HEADER, "");
  const folder = key.slice(0, key.lastIndexOf("/") + 1);
  const wanted = [...SIGNAL_ENDINGS.map((ending) => stem + ending), ...namedIn(header).map((name) => folder + name)];
  const found = wanted.map(find).filter((name) => name && !HEADER.test(name));
  return [...new Set(found)];
}

/** Returns the names of a header's signal files, without the folders where they lay when it was written. */
function namedIn(header) {
  const lines = header.split(/[\r\n]+/).map((line) => line.trim());
  const [, ...signals] = lines.filter((line) => line && !line.startsWith("#"));
  return signals.map((line) => line.split(/\s/)[0].split(/[/\\]/).pop());
}

/** Reads a header; where that fails, sending it says so. */
async function startOf(file) {
  const start = file.size > HEADER_BYTES ? file.slice(0, HEADER_BYTES) : file; // slices are read more slowly
  return start.text().catch(() => "");
}
