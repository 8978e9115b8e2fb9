/**
 * Unpacks traces, takes baseline wander off, and computes median beats.
 * @module
 */

/** Canonical order of the leads. */
export const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const PACKED = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF"];

/**
 * An ECG in millivolts.
 * @typedef {Object} Ecg
 * @property {number} rate Samples a second, Hz.
 * @property {number} samples Samples of each lead.
 * @property {Object<string, Float32Array>} leads Each lead by its name, mV.
 * @property {number[]} rPeaks Samples at which R peaks were found.
 * @property {number} start Where it begins in the recording, s.
 */

/**
 * Unpacks a Trace message.
 * @param {Object} trace The message as JSON, with `packed` in base64.
 * @returns {Promise<Ecg>} The ECG.
 * @throws {RangeError} If the trace does not hold as many samples as it says.
 */
export async function unpack(trace) {
  const bytes = Uint8Array.from(atob(trace.packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const halves = new Uint8Array(await new Response(stream).arrayBuffer());
  const { samples } = trace;
  if (halves.length !== 24 * samples) throw new RangeError("the trace is damaged");
  const steps = summed(halves, samples);
  addTold(steps, samples);
  const leads = {};
  for (const name of LEADS) leads[name] = Float32Array.from(steps[name], (step) => step * trace.resolution_mv);
  return { rate: trace.rate_hz, samples, leads, rPeaks: trace.r_peaks ?? [], start: trace.start_s ?? 0 };
}

function summed(halves, samples) {
  const steps = {};
  const size = 12 * samples;
  PACKED.forEach((name, number) => {
    const lead = new Int16Array(samples); // storing into it wraps, as the packed differences do
    let last = 0;
    for (let at = 0, from = number * samples; at < samples; at += 1, from += 1) {
      last += halves[from] | (halves[size + from] << 8);
      lead[at] = last;
      last = lead[at];
    }
    steps[name] = lead;
  });
  return steps;
}

function addTold(steps, samples) {
  for (let at = 0; at < samples; at += 1) {
    const one = steps.I[at];
    const two = steps.II[at];
    steps.III[at] += two - one;
    steps.aVR[at] += -((one + two) >> 1);
    steps.aVL[at] += one - (two >> 1);
    steps.aVF[at] += two - (one >> 1);
  }
}

/**
 * Takes baseline wander off: what is left of a lead after two median filters, of 200 and 600 ms, is its baseline
 * (de Chazal et al. 2004).
 * @param {Ecg} ecg The ECG as recorded.
 * @returns {Ecg} The ECG without its baselines.
 */
export function withoutWander(ecg) {
  const leads = {};
  for (const [name, lead] of Object.entries(ecg.leads)) {
    const baseline = medianFiltered(medianFiltered(lead, 0.2 * ecg.rate), 0.6 * ecg.rate);
    leads[name] = lead.map((value, at) => value - baseline[at]);
  }
  return { ...ecg, leads };
}

/**
 * Filters by a moving median; at the ends the window holds what there is of it.
 * @param {Float32Array} values The samples.
 * @param {number} width Width of the window in samples.
 * @returns {Float32Array} The filtered samples.
 */
export function medianFiltered(values, width) {
  const half = Math.max(1, Math.floor(width / 2));
  const sorted = new Float32Array(2 * half + 1);
  const filtered = new Float32Array(values.length);
  let size = 0;
  for (let at = -half; at < values.length; at += 1) {
    const enters = at + half;
    const leaves = at - half - 1;
    if (leaves >= 0) {
      const place = placeOf(sorted, size, values[leaves]);
      sorted.copyWithin(place, place + 1, size);
      size -= 1;
    }
    if (enters < values.length) {
      const place = placeOf(sorted, size, values[enters]);
      sorted.copyWithin(place + 1, place, size);
      sorted[place] = values[enters];
      size += 1;
    }
    if (at >= 0) filtered[at] = size % 2 ? sorted[size >> 1] : (sorted[size / 2 - 1] + sorted[size / 2]) / 2;
  }
  return filtered;
}

function placeOf(sorted, size, value) {
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Returns the median of some numbers.
 * @param {Float32Array|number[]} values The numbers; they are left as they are.
 * @returns {number} The median, 0 of none.
 */
export function median(values) {
  if (!values.length) return 0;
  const sorted = Float32Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The typical beat of each lead.
 * @typedef {Object} Beat
 * @property {number} rate Samples a second, Hz.
 * @property {number} before Samples before the R peak.
 * @property {number} count Beats that it was made of.
 * @property {Object<string, Float32Array>} leads The beat in each lead, mV.
 */

/**
 * Computes the median beat: sample by sample the median over all whole beats.
 * @param {Ecg} ecg The ECG.
 * @param {number} [before] Seconds before the R peak.
 * @param {number} [after] Seconds after it.
 * @returns {Beat|null} The beat, or null where no whole beat was found.
 */
export function medianBeat(ecg, before = 0.25, after = 0.45) {
  const first = Math.round(before * ecg.rate);
  const size = first + Math.round(after * ecg.rate);
  const starts = ecg.rPeaks.map((peak) => peak - first).filter((start) => start >= 0 && start + size <= ecg.samples);
  if (!starts.length) return null;
  const leads = {};
  const column = new Float32Array(starts.length);
  for (const [name, lead] of Object.entries(ecg.leads)) {
    const levels = starts.map((start) => median(lead.subarray(start, start + size)));
    leads[name] = new Float32Array(size).map((_, at) => {
      starts.forEach((start, number) => (column[number] = lead[start + at] - levels[number]));
      return median(column);
    });
  }
  return { rate: ecg.rate, before: first, count: starts.length, leads };
}

/**
 * Writes an ECG as the table that the server reads, for asking about it again where its file is not at hand.
 * @param {Ecg} ecg The ECG.
 * @returns {File} A CSV file.
 */
export function asTable(ecg) {
  const lines = [`# rate_hz: ${ecg.rate}`, "# unit: mV", LEADS.join(",")];
  for (let at = 0; at < ecg.samples; at += 1) lines.push(LEADS.map((name) => ecg.leads[name][at].toFixed(4)).join(","));
  return new File([`${lines.join("\n")}\n`], "trace.csv", { type: "text/csv" });
}
