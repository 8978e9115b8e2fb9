/**
 * Marks the statements of a report in its text, as far as their wording is known.
 * @module
 */
import { el } from "./dom.js";
import { visible } from "./plain_text.js";

/** Wordings of frequent statements in English, German and Swedish, as regular expressions. */
const WORDINGS = {
  NORM: "normal(?:es|t)? e[kc]g|normal tracing|within normal limits",
  SR: "sinus ?rhythm(?:us)?|sinusrytm|sinus rhythm",
  AFIB: "atrial fibrillation|vorhofflimmern|f[öo]rmaksflimmer",
  AFLT: "atrial flutter|vorhofflattern|f[öo]rmaksfladder",
  STACH: "sinus ?tachy[ck]ardi[ea]?|sinustakykardi",
  SBRAD: "sinus ?brady[ck]ardi[ea]?|sinusbradykardi",
  SARRH: "sinus ?arrhythmi[ae]|sinusarytmi",
  SVTAC: "supraventricular tachycardia|supraventrikul[äa]re tachykardie",
  PVC: "ventricular (?:premature|extra)\\w*(?: complex\\w*| beat\\w*)?|ventrikul[äa]r[ea] extra(?:systol\\w*|slag)",
  PAC: "atrial premature\\w*(?: complex\\w*)?|supraventricular extrasystol\\w*|supraventrikul[äa]re extrasystol\\w*",
  PACE: "pace ?maker\\w*|schrittmacher\\w*|paced",
  LVH: "left ventricular hypertrophy|linksventrikul[äa]re hypertrophie|linkshypertrophie|v[äa]nsterkammarhypertrofi",
  RVH: "right ventricular hypertrophy|rechtsventrikul[äa]re hypertrophie",
  LAO_LAE: "left atrial (?:overload|enlargement)|p-sinistrocardiale|p-mitrale",
  RAO_RAE: "right atrial (?:overload|enlargement)|p-dextrocardiale|p-pulmonale",
  CLBBB: "(?:complete )?left bundle(?: branch)? block|kompletter linksschenkelblock|linksschenkelblock|lbbb",
  CRBBB: "(?:complete )?right bundle(?: branch)? block|kompletter rechtsschenkelblock|rechtsschenkelblock|rbbb",
  IRBBB: "incomplete right bundle(?: branch)? block|inkompletter rechtsschenkelblock",
  ILBBB: "incomplete left bundle(?: branch)? block|inkompletter linksschenkelblock",
  LAFB: "left anterior (?:fascicular|hemi)\\s?block|linksanteriorer hemiblock|linksanteriorer faszikelblock",
  "1AVB": "first degree a-?v block|av[ -]block i(?:\\.? ?grades|\\b)|prolonged pr",
  WPW: "wolff.parkinson.white|wpw",
  IMI: "inferior(?:e[rs]?)? (?:myocardial )?infar[ck]t\\w*|(?:hinterwand|inferior\\w*)\\s?infar[ck]t\\w*",
  AMI: "anterior (?:myocardial )?infar[ck]t\\w*|vorderwandinfar[ck]t\\w*|anteriorer infar[ck]t\\w*",
  ASMI: "anteroseptal\\w* (?:myocardial )?infar[ck]t\\w*",
  ILMI: "inferolateral\\w* (?:myocardial )?infar[ck]t\\w*",
  NST_: "(?:non-?specific|unspezifische) st\\W\\w*|unspezifisch abnormales t",
  NDT: "(?:non-?diagnostic|non-?specific) t[ -]\\w*|unspezifisch abnormales t",
  ISC_: "isch[äa]?e?mi[ae]\\w*",
  STD_: "st[ -]depression|st-senkung\\w*",
  STE_: "st[ -]elevation|st-hebung\\w*",
  LNGQT: "long(?:er)? qt\\w*|qt-verl[äa]ngerung|prolonged qt",
  LVOLT: "low (?:qrs )?voltage\\w*|niederspannung|niedervoltage",
  QWAVE: "q[ -](?:wave|zacke|waves)\\w*",
  IVCD: "intraventri[ck]ular\\w* (?:conduction|leitungs)\\w*",
};

/**
 * Marks what statements say in a text.
 * @param {string} text The report.
 * @param {{code: string, description: string}[]} statements Statements to look for.
 * @returns {(string|HTMLElement)[]} The text with its marked parts; control characters are visible.
 */
export function marked(text, statements) {
  const found = statements.flatMap((statement) => placesOf(text, statement));
  found.sort((one, other) => one.from - other.from || other.to - one.to);
  const parts = [];
  let done = 0;
  for (const { from, to, statement } of found) {
    if (from < done) continue;
    parts.push(visible(text.slice(done, from)));
    const title = `${statement.code}: ${statement.description}`;
    parts.push(el("mark", { title }, visible(text.slice(from, to))));
    done = to;
  }
  parts.push(visible(text.slice(done)));
  return parts.filter((part) => part !== "");
}

function placesOf(text, statement) {
  const described = (statement.description ?? "").trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const wordings = [WORDINGS[statement.code], described.length > 3 ? described : ""].filter(Boolean);
  if (!wordings.length) return [];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${wordings.join("|")})(?![\\p{L}\\p{N}])`, "giu");
  const places = [...text.matchAll(pattern)];
  return places.map(({ index, 0: found }) => ({ from: index, to: index + found.length, statement }));
}
