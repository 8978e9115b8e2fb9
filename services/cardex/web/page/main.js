/**
 * Puts the page together: views, addresses, what is dropped, language and theme.
 * @module
 */
import { getExample, listExamples } from "./api.js";
import { byId, el, fill } from "./dom.js";
import { EcgView } from "./ecg_view.js";
import { listenToKeys, showHelp } from "./keys.js";
import { GAINS, LAYOUTS, SPEEDS } from "./layout.js";
import { isolated, visible } from "./plain_text.js";
import { chosen, dropped, sorted } from "./recordings.js";
import { SearchView } from "./search_view.js";
import { keep, loadSettings, settings } from "./settings.js";
import { watchSession } from "./sign_in.js";
import { currentLanguage, preferredLanguage, speak, word } from "./words.js";

const VIEWS = ["ecg", "search", "batch"];

loadSettings();
await speak(settings.language === "auto" ? preferredLanguage() : settings.language);
setTheme(settings.theme);

const ecg = new EcgView(tell, forgetLink);
const search = new SearchView((id) => {
  show("ecg");
  ecg.openCase(id);
}, tell);
let batch = null;
let coming = new AbortController();

/** Returns the view of a batch, whose modules are loaded when one is begun. */
async function batchView() {
  const { BatchView } = await import("./batch_view.js");
  batch ??= new BatchView((row) => {
    coming.abort();
    show("ecg");
    ecg.open(row.files, row.name);
  });
  return batch;
}

/** Tells an error; what the server says is a stranger's text too. */
function tell(error) {
  const words = error.status === 0 ? word("error.unreachable") : error.message;
  byId("error-words").textContent = visible(words);
  byId("error").hidden = false;
}

function quiet() {
  byId("error").hidden = true;
}

/** Shows a view. */
function show(view) {
  for (const name of VIEWS) {
    byId(`view-${name}`).hidden = name !== view;
    const link = byId(`to-${name}`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Returns the id of the job that the address names, or "". */
function jobOfAddress() {
  const [, id = ""] = /^#job=(.+)$/.exec(location.hash) ?? [];
  try {
    return decodeURIComponent(id);
  } catch {
    return id; // no encoding that a link of this page has
  }
}

/** Follows the address: a view, or a job that somebody sent a link to. */
function follow() {
  const hash = location.hash.slice(1);
  const job = jobOfAddress();
  quiet();
  if (job) {
    coming.abort();
    show("ecg");
    ecg.openJob(job);
  } else show(VIEWS.includes(hash) ? hash : "ecg");
}

/** Takes away links to what is no longer shown; the address keeps a job that is. */
function forgetLink(job) {
  byId("link-field").value = "";
  byId("link-part").hidden = true;
  if (!job) forgetView();
}

/** Leaves the address of a view or of a job. */
function forgetView() {
  if (location.hash) history.replaceState(null, "", location.pathname);
}

/**
 * Opens what has yet to be fetched or read, unless something else is chosen meanwhile.
 * @param {(signal: AbortSignal) => Promise<*>} fetched Begins to fetch it.
 * @param {(what: *) => void} take Opens it.
 */
async function open(fetched, take) {
  coming.abort();
  coming = new AbortController();
  const { signal } = coming;
  quiet();
  try {
    const what = await fetched(signal);
    if (!signal.aborted) await take(what);
  } catch (error) {
    if (!signal.aborted) tell(error);
  }
}

/** Takes recordings: one is shown, several are a batch. */
async function take({ recordings, passedOver }) {
  if (recordings.length === 1) {
    const [{ files, name }] = recordings;
    show("ecg");
    await ecg.open(files, name);
  } else if (recordings.length) {
    forgetView();
    show("batch");
    (await batchView()).begin(recordings, passedOver);
  } else tell(new Error(word("error.no_recording")));
}

function listenToFiles() {
  for (const id of ["files", "folder"]) {
    byId(id).addEventListener("change", () => {
      const files = chosen(byId(id).files);
      byId(id).value = "";
      open(() => sorted(files), take);
    });
  }
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("choose-folder").addEventListener("click", () => byId("folder").click());
  byId("batch-folder").addEventListener("click", () => byId("folder").click());
  let inside = 0;
  const mark = (change) => {
    inside = Math.max(0, inside + change);
    document.body.classList.toggle("dropping", inside > 0);
  };
  document.addEventListener("dragenter", () => mark(1));
  document.addEventListener("dragleave", () => mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-inside);
    if (event.dataTransfer.items.length) open(() => dropped(event.dataTransfer).then(sorted), take);
  });
}

function listenToButtons() {
  byId("job-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = byId("job-id").value.trim();
    const id = given.replace(/^.*#job=/, "");
    if (id) location.hash = `job=${id === given ? encodeURIComponent(id) : id}`;
  });
  byId("error-close").addEventListener("click", quiet);
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  // The address may name a view that something else has taken the place of, and then following it changes nothing.
  for (const name of VIEWS) byId(`to-${name}`).addEventListener("click", () => show(name));
  byId("theme").addEventListener("click", nextTheme);
  byId("language").addEventListener("click", async () => {
    keep("language", currentLanguage() === "en" ? "de" : "en");
    await speak(settings.language);
    for (const view of [ecg, search, batch]) view?.translate();
  });
  byId("show-help").addEventListener("click", showHelp);
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("print").addEventListener("click", () => window.print());
  byId("link").addEventListener("click", copyLink);
  window.addEventListener("beforeprint", () => ecg.fillSheet());
  window.addEventListener("hashchange", follow);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function nextTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches;
  const dark = settings.theme === "dark" || (settings.theme === "auto" && system);
  keep("theme", dark ? "light" : "dark");
  setTheme(settings.theme);
}

async function copyLink() {
  if (!ecg.hasEcg) return;
  try {
    const link = await ecg.link();
    if (!link) return;
    const field = byId("link-field");
    field.value = link;
    byId("link-part").hidden = false;
    field.select();
    byId("link-state").textContent = word("link.copy");
    // There is no clipboard without TLS, and none without leave.
    const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
    if (copied && field.value === link) byId("link-state").textContent = word("link.copied");
  } catch (error) {
    if (error.name !== "AbortError") tell(error);
  }
}

async function showExamples() {
  const examples = await listExamples().catch(() => []);
  byId("examples").hidden = !examples.length;
  const buttons = examples.map(({ id, name }) => {
    const shown = name || id;
    const onclick = () => open((signal) => getExample(id, signal), (file) => ecg.open([file], shown));
    return el("button", { type: "button", onclick }, isolated(shown));
  });
  fill(byId("examples-list"), ...buttons);
}

function next(values, value) {
  return values[(values.indexOf(value) + 1) % values.length];
}

listenToFiles();
listenToButtons();
listenToKeys({
  o: () => byId("files").click(),
  c: () => ecg.toggleCalipers(),
  Escape: () => ecg.escape(),
  ...Object.fromEntries(Object.keys(LAYOUTS).map((layout, at) => [String(at + 1), () => ecg.set("layout", layout)])),
  s: () => ecg.set("speed", next(SPEEDS, settings.speed)),
  g: () => ecg.set("gain", next(GAINS, settings.gain)),
  w: () => ecg.toggleWander(),
  v: () => ecg.set("placing", next(["beside", "over"], settings.placing)),
  "+": () => ecg.zoomBy(1),
  "-": () => ecg.zoomBy(-1),
  0: () => ecg.zoomBy(0),
  p: () => window.print(),
  l: copyLink,
  "/": () => {
    show("search");
    byId("search-text").focus();
  },
  t: nextTheme,
  "?": showHelp,
});
if (!jobOfAddress()) follow();
watchSession(() => {
  showExamples();
  // By now something else may be open; only a job had to wait for the session.
  if (jobOfAddress() && !ecg.hasEcg) follow();
}, tell);
document.documentElement.dataset.ready = "";
