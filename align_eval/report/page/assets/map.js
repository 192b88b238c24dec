// The map on the screen: drawing, the card with values, the cell cursor of the keyboard, export.
let chart = null;
let current = null; // { map, layout } of what is drawn
let cursor = null; // [row, column] of the keyboard's cell

function isDarkPage() {
  return document.documentElement.dataset.theme === "dark";
}

function inks() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { page: read("--panel"), text: read("--text"), soft: read("--soft"), accent: read("--warm") };
}

function drawMap(entry) {
  const map = currentMap(entry);
  const layout = layoutOf(map, $("map-room").clientWidth, state.zoom, false);
  const canvas = $("map");
  canvas.style.width = `${layout.width}px`;
  canvas.style.height = `${layout.height}px`;
  if (!chart) chart = echarts.init(canvas, null, { renderer: "canvas", width: layout.width, height: layout.height });
  else chart.resize({ width: layout.width, height: layout.height, silent: true });
  chart.setOption(mapOption(map, layout, inks(), false), { notMerge: true });
  current = { map, layout };
  Object.assign($("map-frame").dataset, {
    left: layout.left, top: layout.top, cell: layout.cell, rows: map.rows.length, columns: map.columns.length,
  });
  $("map-frame").setAttribute("aria-label", describe(map));
  $("map-size").textContent = `${map.rows.length} \u00d7 ${map.columns.length}`;
  if (cursor && cursor[0] < map.rows.length && cursor[1] < map.columns.length) pointAt(...cursor, null);
  else hideCard();
  return map;
}

function describe(map) {
  let best = 0;
  map.values.forEach((value, k) => { if (Math.abs(value) > Math.abs(map.values[best])) best = k; });
  const width = map.columns.length;
  const strongest = map.values.length
    ? ` Strongest: ${map.rows[Math.floor(best / width)]} to ${map.columns[best % width]}, ${shown(map.values[best])}.` : "";
  return `Map of ${map.quantity}, ${map.view}: ${map.rows.length} rows, ${width} columns.${strongest} Arrow keys read cells.`;
}

// What the card says of a cell: [name, text] lines, the value first.
function cellFacts(map, row, column) {
  const { entry } = map, width = map.columns.length;
  const at = row * width + column, value = map.values[at];
  const [query, key] = [map.rowWords[row], map.columnWords[column]];
  const facts = [["value", shown(value)], ["query", map.rows[row]], ["key", map.columns[column]]];
  if (map.level === "subword") {
    for (const [name, word, text, own] of [["query word", query, entry.queryText, 1], ["key word", key, entry.keyText, 2]]) {
      if (word >= 0 && text[word] !== facts[own][1]) facts.push([name, text[word]]);
    }
  }
  if (!map.diverging) {
    const line = map.values.subarray(row * width, (row + 1) * width);
    const above = line.filter((other) => other > value).length;
    facts.push(["in its row", above ? `rank ${above + 1} of ${width}` : "the strongest"]);
  }
  if (entry.variants.length > 1) {
    for (const variant of ["full", "masked"]) {
      if (variant !== map.variant) facts.push([variant, shown(mapValues(entry, viewNumber(), map.level, variant)[at])]);
    }
  }
  if (map.level === "word" && !entry.wordsOnly && index.distribution && !map.diverging && index.rules.keys === "sum" && index.rules.queries === "mean") {
    let sum = 0;
    for (let c = 0; c < width; c++) sum += map.values[row * width + c];
    if (sum > 0 && 1 - sum >= 0.005) facts.push(["row mass on no word", shown(1 - sum, 2)]);
  }
  if (query >= 0 && key >= 0) {
    if (entry.gold) {
      const sure = entry.goldOf.get(query * entry.keyText.length + key);
      facts.push(["gold", sure === undefined ? "no link" : sure ? "sure link" : "possible link"]);
    }
    if (entry.arrays.links && map.variant === "full") facts.push(["found", linked(entry, viewNumber(), query, key) ? "link" : "no link"]);
  }
  return facts;
}

// Mark a cell and show its card; point is where the mouse is, null for the keyboard.
function pointAt(row, column, point) {
  const { map, layout } = current;
  const facts = cellFacts(map, row, column);
  const card = $("card");
  card.replaceChildren(make("strong", { id: "card-value" }, facts[0][1]), make("dl", {}, ...facts.slice(1).flatMap(
    ([name, text]) => [make("dt", {}, name), make("dd", { dir: "auto", "data-fact": name }, text)])));
  card.hidden = false;
  const mark = $("mark");
  mark.hidden = false;
  const [x, y] = [layout.left + column * layout.cell, layout.top + row * layout.cell];
  Object.assign(mark.style, { left: `${x}px`, top: `${y}px`, width: `${layout.cell}px`, height: `${layout.cell}px` });
  for (const [id, box] of [["band-row", [layout.left, y, layout.across, layout.cell]], ["band-column", [x, layout.top, layout.cell, layout.down]]]) {
    const band = $(id);
    band.hidden = false;
    ["left", "top", "width", "height"].forEach((name, k) => (band.style[name] = `${box[k]}px`));
  }
  const frame = $("map-frame").getBoundingClientRect();
  const [px, py] = point || [frame.left + x + layout.cell, frame.top + y + layout.cell];
  const [width, height] = [card.offsetWidth, card.offsetHeight];
  const right = px + 16 + width < document.documentElement.clientWidth;
  const below = py + 16 + height < window.innerHeight;
  card.style.left = `${Math.max(4, right ? px + 16 : px - 16 - width)}px`;
  card.style.top = `${Math.max(4, below ? py + 16 : py - 16 - height)}px`;
  markWords(map.rowWords[row], map.columnWords[column]);
  return facts;
}

function hideCard() {
  for (const id of ["card", "mark", "band-row", "band-column"]) $(id).hidden = true;
  markWords(-1, -1);
}

function cellUnder(event) {
  if (!current) return null;
  const { map, layout } = current;
  const box = $("map-frame").getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left - layout.left) / layout.cell);
  const row = Math.floor((event.clientY - box.top - layout.top) / layout.cell);
  return row >= 0 && column >= 0 && row < map.rows.length && column < map.columns.length ? [row, column] : null;
}

function setUpMap() {
  const frame = $("map-frame");
  const show = (event) => {
    const cell = cellUnder(event);
    if (cell) pointAt(...cell, [event.clientX, event.clientY]);
    else hideCard();
  };
  frame.addEventListener("pointermove", show);
  frame.addEventListener("pointerdown", show);
  frame.addEventListener("pointerleave", () => hideCard());
  frame.addEventListener("blur", () => { cursor = null; hideCard(); });
  frame.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -1e9], End: [0, 1e9] };
    const step = steps[event.key];
    if (!step || !current || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const { map } = current;
    if (!map.rows.length || !map.columns.length) return;
    const from = cursor || [0, 0];
    const within = (place, size) => Math.min(Math.max(place, 0), size - 1);
    cursor = cursor ? [within(from[0] + step[0], map.rows.length), within(from[1] + step[1], map.columns.length)] : [0, 0];
    const facts = pointAt(...cursor, null);
    $("spoken").textContent = facts.map(([name, text]) => (name === "value" ? text : `${name} ${text}`)).join(", ");
  });
  new ResizeObserver(() => { if (current && !$("pair").hidden) drawMap(current.map.entry); }).observe($("map-room"));
}

const fileStem = () => [index.title, current.map.entry.about.id, current.map.view, current.map.variant === "full" ? "" : current.map.variant]
  .filter(Boolean).join(" ").replace(/[^\p{L}\p{N}.-]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 120);

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The current map with its title, as SVG text or as a PNG at three times the size.
function exportMap(kind) {
  const map = currentMap(current.map.entry);
  const layout = layoutOf(map, Math.max($("map-room").clientWidth, 640), state.zoom, true);
  const option = mapOption(map, layout, inks(), true);
  const size = { width: Math.ceil(layout.width), height: Math.ceil(layout.height) };
  if (kind === "svg") {
    const drawing = echarts.init(null, null, { renderer: "svg", ssr: true, ...size });
    drawing.setOption(option);
    const text = drawing.renderToSVGString().replace(/ (?:ecmeta_\w+|pointer-events|class)="[^"]*"/g, "").replace(/<style\b[^]*?<\/style>/g, "");
    drawing.dispose();
    return save(new Blob([text], { type: "image/svg+xml" }), `${fileStem()}.svg`);
  }
  const scale = Math.min(3, 8192 / Math.max(size.width, size.height));
  const drawing = echarts.init(document.createElement("div"), null, { renderer: "canvas", devicePixelRatio: scale, ...size });
  drawing.setOption(option);
  const picture = drawing.renderToCanvas({ pixelRatio: scale, backgroundColor: inks().page });
  drawing.dispose();
  return picture.toBlob((blob) => save(blob, `${fileStem()}.png`), "image/png");
}

function exportValues() {
  const { map } = current, width = map.columns.length;
    const lines = map.rows.map((text, r) => [oneLine(text), ...map.values.slice(r * width, (r + 1) * width)
    .map((value) => Number(value.toFixed(6)))].join("\t"));
  save(new Blob([["", ...map.columns.map(oneLine)].join("\t") + "\n" + lines.join("\n") + "\n"],
    { type: "text/tab-separated-values" }), `${fileStem()}.tsv`);
}
