/**
 * Sorts dropped and chosen files into recordings: a WFDB header and its signals are one.
 * @module
 */

const HIDDEN = /(^|\/)(\.|__MACOSX\/)/;
const LISTS = /(^|\/)(RECORDS[^/]*|SHA\d+SUMS[^/]*|LICENSE)$/;
const OTHERS = /\.(txt|md|pdf|html?|jpe?g|png|gif|json|jsonl|py|log|atr|qrs|ann|svg|docx?|xlsx?)$/i;
const SIGNALS = /\.(dat|mat|d16|bin|xws)$/i;

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
  for (const one of files) byPath.set(unused(one.path.toLowerCase(), byPath), one);
  const taken = new Set();
  const recordings = [];
  for (const [key, { path, file }] of byPath) {
    if (!key.endsWith(".hea") || isNoEcg(path)) continue;
    const companions = await companionsOf(key, file, byPath);
    recordings.push({ name: path, files: [file, ...companions.map((name) => byPath.get(name).file)] });
    for (const name of [key, ...companions]) taken.add(name);
  }
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

async function companionsOf(key, header, byPath) {
  const stem = key.slice(0, -".hea".length);
  const beside = [...SIGNAL_ENDINGS].map((ending) => stem + ending).filter((name) => byPath.has(name));
  if (beside.length) return beside;
  const folder = key.slice(0, key.lastIndexOf("/") + 1);
  const lines = (await header.slice(0, 65_536).text()).split(/\r?\n/).filter((line) => line && !line.startsWith("#"));
  const named = lines.slice(1).map((line) => folder + line.split(/\s/)[0].toLowerCase());
  return [...new Set(named)].filter((name) => SIGNALS.test(name) && byPath.has(name));
}

const SIGNAL_ENDINGS = [".dat", ".mat", ".d16", ".bin"];
