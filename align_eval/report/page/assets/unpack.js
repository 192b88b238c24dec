// Packed blocks (align_eval/report/page/entry.py) back into arrays, and sub-words into words.
async function unpack(id) {
  const element = document.getElementById(id);
  if (!element) return null;
  const text = atob(element.textContent);
  const packed = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) packed[k] = text.charCodeAt(k);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const block = new Uint8Array(await new Response(stream).arrayBuffer());
  const view = new DataView(block.buffer);
  let start = 4 + view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(block.subarray(4, start)));
  const arrays = {};
  for (const { name, dtype, shape } of header.arrays) {
    const count = shape.reduce((a, b) => a * b, 1);
    let data;
    if (dtype === "u1") {
      data = block.subarray(start, start + count);
      start += count;
    } else if (dtype === "u2") {
      data = new Uint16Array(count);
      for (let k = 0; k < count; k++) data[k] = (block[start + k] << 8) | block[start + count + k];
      start += 2 * count;
    } else {
      data = new Float32Array(count);
      for (let k = 0; k < count; k++) data[k] = view.getFloat32(start + 4 * k, true);
      start += 4 * count;
    }
    arrays[name] = { data, shape };
  }
  return { header, arrays };
}

// One map of a quantised array (views, Q, K) as numbers.
function dequantise(array, limits, view, top) {
  const size = array.shape[2] * array.shape[3];
  const low = limits.data[2 * view];
  const step = (limits.data[2 * view + 1] - low) / top;
  const out = new Float64Array(size);
  for (let k = 0, from = view * size; k < size; k++) out[k] = low + array.data[from + k] * step;
  return out;
}

// Pools the last axis of a (rows x size) map by word; words[k] is -1 where there is none.
function poolColumns(values, rows, words, count, rule) {
  const size = words.length;
  const out = new Float64Array(rows * count);
  const seen = new Int32Array(count);
  for (const word of words) if (word >= 0) seen[word]++;
  for (let r = 0; r < rows; r++) {
    const met = new Uint8Array(count);
    for (let k = 0; k < size; k++) {
      const word = words[k];
      if (word < 0) continue;
      const at = r * count + word;
      const value = values[r * size + k];
      if (rule === "sum") out[at] += value;
      else if (rule === "mean") out[at] += value / seen[word];
      else if (rule === "max") out[at] = met[word] ? Math.max(out[at], value) : value;
      else if (rule === "last" || !met[word]) out[at] = value;
      met[word] = 1;
    }
  }
  return out;
}

function turned(values, rows, columns) {
  const out = new Float64Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c];
  return out;
}

// A map between sub-words as one between words: columns by the rule of keys, then rows by that of queries.
function poolMap(values, queryWords, keyWords, queries, keys, rules) {
  if (rules.keys === "sum" && rules.queries === "mean") return poolSumMean(values, queryWords, keyWords, queries, keys);
  const byKey = poolColumns(values, queryWords.length, keyWords, keys, rules.keys);
  const across = poolColumns(turned(byKey, queryWords.length, keys), keys, queryWords, queries, rules.queries);
  return turned(across, keys, queries);
}

// The same for the usual rules, in one pass.
function poolSumMean(values, queryWords, keyWords, queries, keys) {
  const out = new Float64Array(queries * keys);
  const parts = new Float64Array(queries);
  for (const word of queryWords) if (word >= 0) parts[word]++;
  for (let r = 0, at = 0; r < queryWords.length; r++) {
    const query = queryWords[r];
    if (query < 0) {
      at += keyWords.length;
      continue;
    }
    const share = 1 / parts[query];
    for (let c = 0; c < keyWords.length; c++, at++) {
      if (keyWords[c] >= 0) out[query * keys + keyWords[c]] += values[at] * share;
    }
  }
  return out;
}
