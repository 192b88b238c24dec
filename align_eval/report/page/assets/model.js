// What the page knows (index, entries, counts) and what it shows (state).
const index = JSON.parse(document.getElementById("index").textContent);
const TOP = 2 ** index.bits - 1;
const VIEWS = index.rows.labels.length * index.columns.labels.length;
const many = index.entries.length > 1;
let counts = null; // Uint8Array or Uint16Array (views, entries, 3): links, links that are sure, links that are possible

const state = {
  entry: many ? null : 0, row: 0, column: 0, level: "subword", variant: "full", gold: true, links: true, numbers: false,
  colours: "", diverging: "RdBu", scale: "map", low: 0, high: 1, zoom: 0, metric: "", theme: "",
  sort: "number", descending: false, filter: "",
};

const viewNumber = (row = state.row, column = state.column) => row * index.columns.labels.length + column;
const viewName = (row = state.row, column = state.column) =>
  `${index.rows.name} ${index.rows.labels[row]}, ${index.columns.name} ${index.columns.labels[column]}`;

// Entries that have been opened, the latest last; a few are kept.
const opened = new Map();
async function openEntry(number) {
  let entry = opened.get(number);
  if (!entry) {
    const { header, arrays } = await unpack(`entry-${number}`);
    const about = index.entries[number];
    const texts = about.text ? [about.text, about.text]
      : header.side === "target" ? [about.target, about.source] : [about.source, about.target];
    entry = { ...header, arrays, number, about, queryText: texts[0], keyText: texts[1], cache: new Map() };
    entry.goldOf = new Map((header.gold || []).map(([q, k, sure]) => [q * texts[1].length + k, sure]));
    const special = header.queryWords.some((w) => w < 0) || header.keyWords.some((w) => w < 0);
    const split = header.queries.length !== texts[0].length || header.keys.length !== texts[1].length;
    entry.levels = header.wordsOnly ? ["word"] : special || split ? ["subword", "word"] : ["subword"];
    entry.variants = arrays.masked ? ["full", "masked", "difference"] : ["full"];
  }
  opened.delete(number);
  opened.set(number, entry);
  if (opened.size > 6) opened.delete(opened.keys().next().value);
  return entry;
}

const levelOf = (entry) => (entry.levels.includes(state.level) ? state.level : entry.levels[0]);
const variantOf = (entry) => (entry.variants.includes(state.variant) ? state.variant : "full");

// The values of one map: rows x columns numbers. level: "subword" or "word"; variant: "full", "masked", "difference".
function mapValues(entry, view, level, variant) {
  if (variant === "difference") {
    const full = mapValues(entry, view, level, "full");
    return mapValues(entry, view, level, "masked").map((value, k) => value - full[k]);
  }
  const values = dequantise(entry.arrays[variant], entry.arrays[`${variant}.limits`], view, TOP);
  if (level === "subword" || entry.wordsOnly) return values;
  return poolMap(values, entry.queryWords, entry.keyWords, entry.queryText.length, entry.keyText.length, index.rules);
}

// Labels, and the word of each row and column, on one level.
function axesOf(entry, level, variant) {
  const changed = new Set(entry.changedWords || []);
  if (level === "word") {
    const rows = entry.queryText.map((word, k) => (variant === "masked" && changed.has(k) ? "[MASK]" : word));
    return { rows, columns: entry.keyText, rowWords: rows.map((_, k) => k), columnWords: entry.keyText.map((_, k) => k) };
  }
  const rows = variant === "masked" ? entry.changedQueries : entry.queries;
  return { rows, columns: entry.keys, rowWords: entry.queryWords, columnWords: entry.keyWords };
}

// How the views compare on one entry: for each its peak, the mean of its rows' peaks, and its mass on gold.
function viewMeasures(entry, level, variant) {
  const key = `${level} ${variant}`;
  if (entry.cache.has(key)) return entry.cache.get(key);
  const { rows, columns } = axesOf(entry, level, variant);
  const width = columns.length;
  const out = { peak: [], rows: [], gold: [], low: [] };
  for (let view = 0; view < VIEWS; view++) {
    const values = mapValues(entry, view, level, variant);
    let peak = 0, low = 0, sum = 0;
    for (let r = 0; r < rows.length; r++) {
      let best = 0;
      for (let c = 0; c < width; c++) {
        const value = values[r * width + c];
        if (Math.abs(value) > best) best = Math.abs(value);
        if (value < low) low = value;
      }
      sum += best;
      if (best > peak) peak = best;
    }
    out.peak.push(peak);
    out.low.push(low);
    out.rows.push(rows.length ? sum / rows.length : 0);
    if (entry.goldOf.size) out.gold.push(goldMass(entry, level === "word" ? values : mapValues(entry, view, "word", variant)));
  }
  entry.cache.set(key, out);
  return out;
}

// The mean, over query words that have gold, of what they give to the words that gold aligns them with.
function goldMass(entry, words) {
  const keys = entry.keyText.length;
  const mass = new Map();
  for (const cell of entry.goldOf.keys()) {
    const query = Math.floor(cell / keys);
    mass.set(query, (mass.get(query) || 0) + words[cell]);
  }
  return [...mass.values()].reduce((a, b) => a + b, 0) / mass.size;
}

function linked(entry, view, query, key) {
  const packed = entry.arrays.links;
  if (!packed) return false;
  const bit = query * entry.keyText.length + key;
  return Boolean(packed.data[view * packed.shape[1] + (bit >> 3)] & (128 >> (bit & 7)));
}

// Precision, recall and AER in percent from sums of counts; null where a sum below the line is 0.
function scoresOf(links, sure, linksSure, linksPossible) {
  const share = (above, below) => (below ? (100 * above) / below : null);
  const aer = share(linksSure + linksPossible, links + sure);
  return { aer: aer === null ? null : 100 - aer, precision: share(linksPossible, links), recall: share(linksSure, sure) };
}

function entryScores(number, view = viewNumber()) {
  const about = index.entries[number];
  const at = (view * index.entries.length + number) * 3;
  const [links, linksSure, linksPossible] = counts.data.subarray(at, at + 3);
  return { links, sure: about.sure, linksSure, linksPossible, ...scoresOf(links, about.sure, linksSure, linksPossible) };
}

const corpusCache = [];
function corpusScores(view) {
  if (!corpusCache[view]) {
    const sums = [0, 0, 0];
    const from = 3 * view * index.entries.length;
    for (let k = 0; k < 3 * index.entries.length; k++) sums[k % 3] += counts.data[from + k];
    const sure = index.entries.reduce((sum, about) => sum + about.sure, 0);
    corpusCache[view] = { links: sums[0], sure, ...scoresOf(sums[0], sure, sums[1], sums[2]) };
  }
  return corpusCache[view];
}

const plural = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;

// Small helpers of the document. Texts come in as text nodes only.
const $ = (id) => document.getElementById(id);
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
// A text for a cell of a tab-separated file: one line without tabs, and no formula to a spreadsheet (as shown.cell in Python).
const oneLine = (text) => {
  const line = text.replace(/[\t\n\v\f\r\u0085\u2028\u2029]/g, " ");
  return /^[=+@-]./.test(line) && !/^[+-]?[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?$/i.test(line) ? `'${line}` : line;
};
// Digits after the point that the stored precision bears out.
const DIGITS = Math.min(Math.max(Math.floor(-Math.log10(2 * Math.max(index.error, 1e-9))), 2), 5);
const shown = (value, digits = DIGITS) => value.toFixed(digits).replace("-", "\u2212");
// Two digits that say something: 0.43, 0.043, 0.0043. Zero has no sign.
const brief = (value) => (value === 0 ? "0" : Math.abs(value) >= 0.1 ? value.toFixed(2)
  : String(Number(value.toPrecision(2)))).replace("-", "\u2212");
const percent = (value) => (value === null ? "\u2013" : value.toFixed(1));
