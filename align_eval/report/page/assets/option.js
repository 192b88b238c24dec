// From a map to what ECharts draws: cells, axes, colour bar, frames of gold links, dots of links found.
// Without quotation marks: ECharts puts the names into an attribute of the SVG as they are.
const FONT = "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, Helvetica Neue, Arial, Noto Sans CJK SC, " +
  "PingFang SC, Microsoft YaHei, Noto Sans Arabic, Noto Sans Hebrew, Noto Sans Devanagari, sans-serif";
const IMAGE_FROM = 12000; // cells from which the map is one picture instead of single rectangles
const NUMBERS_FROM = 22; // pixels of a cell that holds its value as text
const RTL = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;

const pen = document.createElement("canvas").getContext("2d");

function textWidth(text, size) {
  pen.font = `${size}px ${FONT}`;
  return pen.measureText(text).width;
}

// A label cut to a width, and isolated if it is written from right to left, so that its marks stay on their side.
function label(text, size, width) {
  const visible = text.replace(/[\n\r\t]/g, (mark) => ({ "\n": "\u21b5", "\r": "\u240d", "\t": "\u21e5" })[mark]) || "\u2205";
  const letters = [...visible];
  let kept = letters.length;
  if (textWidth(visible, size) > width) {
    while (kept > 1 && textWidth(letters.slice(0, kept).join("") + "\u2026", size) > width) kept--;
  }
  const cut = letters.slice(0, kept).join("") + (kept < letters.length ? "\u2026" : "");
  return RTL.test(cut) ? `\u2067${cut}\u2069` : cut;
}

const mapName = () => state.colours || (isDarkPage() ? "magma" : "Oranges");

// Everything that one picture needs, from the entry and the state.
function currentMap(entry) {
  const level = levelOf(entry), variant = variantOf(entry), diverging = variant === "difference";
  const axes = axesOf(entry, level, variant);
  const values = mapValues(entry, viewNumber(), level, variant);
  const measured = viewMeasures(entry, level, variant);
  const peak = Math.max(...(state.scale === "map" ? [measured.peak[viewNumber()]] : measured.peak));
  const least = Math.min(...(state.scale === "map" ? [measured.low[viewNumber()]] : measured.low));
  const reach = peak || 1;
  let [low, high] = diverging ? [-reach, reach] : [Math.min(least, 0), reach];
  const limit = Math.max(...measured.peak) || 1;
  const domain = diverging || Math.min(...measured.low) < 0 ? [-limit, limit] : [0, limit];
  if (state.scale === "own") {
    [low, high] = [state.low, state.high].map((share) => domain[0] + share * (domain[1] - domain[0]));
    if (high <= low) high = low + (domain[1] - domain[0]) / 1000;
  }
  const name = diverging ? state.diverging : mapName();
  return {
    entry, level, variant, diverging, ...axes, values, low, high, domain, stops: colourStops(name),
    quantity: diverging ? `${index.quantity}, masked less full` : index.quantity,
    view: viewName(), gold: state.gold && entry.goldOf.size > 0,
    links: state.links && entry.arrays.links && variant === "full", numbers: state.numbers,
  };
}

// Sizes in pixels: cells, the room for labels, and the whole.
function layoutOf(map, room, zoom, titled) {
  const size = 12, cap = room < 520 ? 92 : 170, narrow = room < 620;
  const widest = (texts) => Math.min(cap, Math.max(20, ...texts.map((text) => textWidth(text, size))) + 4);
  const left = Math.ceil(widest(map.rows)) + 30, top = Math.ceil(widest(map.columns)) + 30 + (titled ? 46 : 0);
  const bar = narrow ? 8 : 74;
  const fit = Math.floor((room - left - bar) / Math.max(map.columns.length, 1));
  const cell = zoom || Math.min(Math.max(fit, map.columns.length > 150 ? 3 : map.columns.length > 60 ? 8 : 15), 38);
  const across = cell * map.columns.length, down = cell * map.rows.length;
  const width = Math.max(left + across + bar, narrow ? left + 190 : 0, titled ? titleWidth(map) : 0);
  return { size: Math.min(size, Math.max(cell - 2, 8)), cap, narrow, left, top, cell, across, down,
    width, height: top + down + (narrow ? 64 : 14) };
}

function titleOf(map) {
  const where = map.entry.about.id ? `${map.entry.about.id} \u00b7 ` : "";
  const kind = { full: "", masked: " \u00b7 masked input", difference: " \u00b7 masked less full" }[map.variant];
  return [index.title, `${where}${map.view} \u00b7 ${index.quantity}${kind}`];
}

// What a title needs, up to a limit at which it is cut.
function titleWidth(map) {
  const [heading, line] = titleOf(map);
  return Math.min(Math.ceil(Math.max(textWidth(heading, 14) * 1.08, textWidth(line, 11))) + 28, 640);
}

function mapOption(map, layout, ink, titled) {
  const { columns, rows, values } = map;
  const many = rows.length * columns.length > IMAGE_FROM;
  const clamp = (value) => Math.min(Math.max(value, map.low), map.high);
  const axis = (texts, words, masked, name, gap) => ({
    type: "category", data: texts.map((_, k) => String(k)), axisTick: { show: false }, axisLine: { show: false },
    splitLine: { show: false }, name, nameLocation: "middle", nameGap: gap,
    nameTextStyle: { color: ink.soft, fontFamily: FONT, fontSize: 11 },
    axisLabel: {
      interval: layout.cell >= 9 ? 0 : Math.ceil(10 / layout.cell) - 1, margin: 5, fontFamily: FONT, fontSize: layout.size,
      formatter: (k) => label(texts[k], layout.size, layout.cap),
      color: (k) => (masked.has(words[k]) ? ink.accent : words[k] < 0 ? ink.soft : ink.text),
    },
  });
  const side = { target: ["target", "source"], source: ["source", "target"], text: ["text", "text"] }[map.entry.side];
  const changed = new Set(map.entry.changedWords || []);
  const x = axis(columns, map.columnWords, new Set(), `keys: ${side[1]}`, layout.top - 18 - (titled ? 46 : 0));
  const y = axis(rows, map.rowWords, changed, `queries: ${side[0]}`, layout.left - 14);
  const series = [many ? pictureSeries(map, layout) : {
    type: "heatmap", silent: true, progressive: 0, emphasis: { disabled: true }, animation: false,
    itemStyle: { borderColor: ink.page, borderWidth: layout.cell >= 12 ? 1 : layout.cell >= 6 ? 0.4 : 0 },
    data: Array.from(values, (value, k) => ({
      value: [k % columns.length, Math.floor(k / columns.length), clamp(value)],
      label: map.numbers && layout.cell >= NUMBERS_FROM ? {
        show: true, fontFamily: FONT, fontSize: layout.cell >= 30 ? 10 : 8, formatter: shortNumber(value, Math.max(map.high, -map.low)),
        color: isDark(rgbAt(map.stops, (clamp(value) - map.low) / (map.high - map.low))) ? "#fff" : "#000",
      } : undefined,
    })),
  }];
  const colours = overlayColours(map.stops, map.diverging);
  if (map.gold) series.push(goldSeries(map, layout, colours));
  if (map.links) series.push(linkSeries(map, layout, colours));
  const [heading, line] = titleOf(map);
  return {
    animation: false, backgroundColor: titled ? ink.page : "transparent", textStyle: { fontFamily: FONT },
    title: titled ? {
      text: label(heading, 14, layout.width - 20), subtext: label(line, 11, layout.width - 20), left: 8, top: 4, itemGap: 4,
      textStyle: { color: ink.text, fontSize: 14, fontWeight: 600, fontFamily: FONT },
      subtextStyle: { color: ink.soft, fontSize: 11, fontFamily: FONT },
    } : undefined,
    grid: { left: layout.left, top: layout.top, width: layout.across, height: layout.down, outerBoundsMode: "none" },
    xAxis: { ...x, position: "top", axisLabel: { ...x.axisLabel, rotate: -90 } },
    yAxis: { ...y, inverse: true, nameRotate: 90 },
    visualMap: {
      type: "continuous", min: map.low, max: map.high, seriesIndex: 0, dimension: 2, inRange: { color: map.stops },
      orient: layout.narrow ? "horizontal" : "vertical", hoverLink: false, calculable: false, itemWidth: 12,
      itemHeight: layout.narrow ? Math.min(Math.max(layout.across, 190) - 90, 200) : Math.max(Math.min(layout.down, 200) - 36, 40),
      left: layout.narrow ? layout.left : layout.left + layout.across + 12,
      top: layout.narrow ? layout.top + layout.down + 12 : layout.top,
      text: [brief(map.high), brief(map.low)], textGap: 6,
      textStyle: { color: ink.text, fontSize: 11, fontFamily: FONT }, show: true,
    },
    series,
  };
}

// A value as it stands in a cell, with as many digits as the scale of the map asks for.
function shortNumber(value, reach) {
  const text = value.toFixed(reach >= 0.1 ? 2 : reach >= 0.01 ? 3 : 4);
  return Number(text) === 0 ? "0" : text.replace("-", "\u2212").replace(/^(\u2212?)0\./, "$1.");
}

// The map as one picture, a pixel a cell.
function pictureSeries(map, layout) {
  const canvas = document.createElement("canvas");
  const [across, down] = [map.columns.length, map.rows.length];
  canvas.width = across;
  canvas.height = down;
  const context = canvas.getContext("2d");
  const image = context.createImageData(across, down);
  const shades = Array.from({ length: 256 }, (_, k) => rgbAt(map.stops, k / 255));
  map.values.forEach((value, k) => {
    const share = Math.min(Math.max((value - map.low) / (map.high - map.low), 0), 1);
    image.data.set([...shades[Math.round(share * 255)], 255], 4 * k);
  });
  context.putImageData(image, 0, 0);
  // Enlarged here without smoothing: what draws it later would blur the borders of cells.
  const scale = Math.max(1, Math.min(layout.cell, Math.floor(4096 / Math.max(across, down))));
  const large = document.createElement("canvas");
  large.width = across * scale;
  large.height = down * scale;
  const pencil = large.getContext("2d");
  pencil.imageSmoothingEnabled = false;
  pencil.drawImage(canvas, 0, 0, large.width, large.height);
  const url = large.toDataURL();
  return {
    type: "custom", silent: true, data: [[0, 0, map.low]], animation: false, clip: false,
    renderItem: () => ({ type: "image", style: { image: url, x: layout.left, y: layout.top, width: layout.across, height: layout.down } }),
  };
}

// Runs of neighbouring rows (or columns) of each word: word -> [[first, last], ...].
function runsOf(words) {
  const runs = new Map();
  words.forEach((word, k) => {
    if (word < 0) return;
    const own = runs.get(word) || runs.set(word, []).get(word);
    if (own.length && own[own.length - 1][1] === k - 1) own[own.length - 1][1] = k;
    else own.push([k, k]);
  });
  return runs;
}

// Blocks of cells [row, last row, column, last column] of a pair of words.
function blocksOf(map, query, key, runs) {
  const found = [];
  for (const [r0, r1] of runs.rows.get(query) || []) {
    for (const [c0, c1] of runs.columns.get(key) || []) found.push([r0, r1, c0, c1]);
  }
  return found;
}

function overlaySeries(items, draw) {
  return { type: "custom", silent: true, animation: false, clip: false, data: items.map((_, k) => [0, 0, k]),
    renderItem: (_, api) => draw(items[api.value(2)]), z: 5 };
}

function goldSeries(map, layout, colours) {
  const runs = { rows: runsOf(map.rowWords), columns: runsOf(map.columnWords) };
  const keys = map.entry.keyText.length;
  const items = [...map.entry.goldOf].flatMap(([cell, sure]) =>
    blocksOf(map, Math.floor(cell / keys), cell % keys, runs).map((block) => ({ block, sure })));
  const thick = layout.cell >= 14 ? 2 : 1;
  return overlaySeries(items, ({ block: [r0, r1, c0, c1], sure }) => {
    const shape = { x: layout.left + c0 * layout.cell + thick, y: layout.top + r0 * layout.cell + thick,
      width: (c1 - c0 + 1) * layout.cell - 2 * thick, height: (r1 - r0 + 1) * layout.cell - 2 * thick };
    const frame = (stroke, lineWidth, lineDash) => ({ type: "rect", shape, style: { fill: "none", stroke, lineWidth, lineDash } });
    return { type: "group", children: [frame(colours.casing, thick + 1.6), frame(colours.gold, thick, sure ? undefined : [3, 3])] };
  });
}

function linkSeries(map, layout, colours) {
  const runs = { rows: runsOf(map.rowWords), columns: runsOf(map.columnWords) };
  const items = [];
  map.entry.queryText.forEach((_, q) => map.entry.keyText.forEach((__, k) => {
    if (linked(map.entry, viewNumber(), q, k)) items.push(...blocksOf(map, q, k, runs));
  }));
  const aside = map.numbers && layout.cell >= NUMBERS_FROM; // beside the value that stands in the cell
  return overlaySeries(items, ([r0, r1, c0, c1]) => ({
    type: "circle",
    shape: {
      cx: layout.left + (aside ? c1 + 0.8 : (c0 + c1 + 1) / 2) * layout.cell,
      cy: layout.top + (aside ? r1 + 0.8 : (r0 + r1 + 1) / 2) * layout.cell,
      r: Math.max(1.5, layout.cell * (aside ? 0.1 : 0.16)),
    },
    style: { fill: colours.dot, stroke: colours.ring, lineWidth: 1 },
  }));
}
