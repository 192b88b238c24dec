// The state in the address, drawing of everything, and the start.
function address(from) {
  const parts = [];
  const add = (name, value) => parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  if (from.entry !== null && many) add("pair", from.entry + 1);
  add(index.rows.name, index.rows.labels[from.row]);
  add(index.columns.name, index.columns.labels[from.column]);
  if (from.level !== "subword") add("level", from.level);
  if (from.variant !== "full") add("map", from.variant);
  return parts.join("&");
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const place = (axis, fallback) => { const at = axis.labels.indexOf(given.get(axis.name)); return at < 0 ? fallback : at; };
  state.row = place(index.rows, state.row);
  state.column = place(index.columns, state.column);
  const pair = Number(given.get("pair"));
  if (many) state.entry = Number.isInteger(pair) && pair >= 1 && pair <= index.entries.length ? pair - 1 : null;
  state.level = given.get("level") in LEVELS ? given.get("level") : given.has("level") ? state.level : "subword";
  state.variant = given.get("map") in VARIANTS ? given.get("map") : "full";
}

// Kept in the address, so that a link leads to the same view. A frame without an address of its own does without.
function writeAddress(push) {
  const hash = `#${address(state)}`;
  if (hash === location.hash) return;
  try {
    history[push ? "pushState" : "replaceState"](null, "", hash);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

function go(entry) {
  if (!many || entry === state.entry) return;
  state.entry = entry;
  cursor = null;
  writeAddress(true);
  render().then(() => {
    if (entry === null) {
      const row = $("rows").querySelector(`[data-entry="${lastEntry}"] a`);
      if (row) { row.focus({ preventScroll: true }); row.scrollIntoView({ block: "center" }); }
    } else {
      lastEntry = entry;
      window.scrollTo(0, 0);
    }
  });
}

let lastEntry = -1;
let drawing = 0;

// Draw what the state says. Only the latest of several calls is shown.
async function render() {
  const own = ++drawing;
  const entry = state.entry === null ? null : await openEntry(state.entry);
  if (own !== drawing) return;
  document.body.dataset.view = entry ? "pair" : "corpus";
  $("pair").hidden = !entry;
  $("corpus").hidden = Boolean(entry);
  writeAddress(false);
  paintHeads(entry);
  if (!entry) {
    hideCard();
    fillCorpus();
    $("place").textContent = "";
  } else {
    if ($("sentences").dataset.entry !== String(entry.number)) {
      showSentences(entry);
      $("sentences").dataset.entry = entry.number;
    }
    $("back").hidden = $("steps").hidden = !many;
    const order = listed.length && listed.includes(entry.number) ? listed : index.entries.map((_, k) => k);
    const at = order.indexOf(entry.number);
    $("previous").disabled = at <= 0;
    $("next").disabled = at >= order.length - 1;
    $("place").textContent = many ? `${entry.about.id} (${entry.number + 1} of ${index.entries.length.toLocaleString("en")})` : "";
    const map = drawMap(entry);
    fillControls(entry, map);
    $("map-title").textContent = viewName();
    $("map-quantity").textContent = map.quantity;
    const scores = counts ? entryScores(entry.number) : null;
    $("pair-scores").textContent = scores ? `${map.variant === "full" ? "" : "full map: "}AER ${percent(scores.aer)} \u00b7 ${scores.linksSure} of ${scores.sure} sure links found, `
      + `${scores.linksPossible} of ${scores.links} found links possible` : "";
  }
  document.body.dataset.drawn = own;
}

function switchTheme() {
  document.documentElement.dataset.theme = isDarkPage() ? "light" : "dark";
  state.theme = document.documentElement.dataset.theme;
  showTheme();
  render();
}

function showTheme() {
  $("theme").setAttribute("aria-pressed", String(isDarkPage()));
  $("theme").textContent = isDarkPage() ? "Light" : "Dark";
}

function showFrame() {
  document.title = index.title;
  $("title").textContent = index.title;
  $("quantity").textContent = `${index.quantity} \u00b7 ${plural(index.rows.labels.length, index.rows.name)} \u00d7 ${plural(index.columns.labels.length, index.columns.name)}`;
  const facts = Object.entries(index.subject).map(([name, value]) => make("span", {}, `${name}: ${value}`));
  facts.push(make("span", {}, `Values are stored in ${index.bits} bits and are off by at most ${Number(index.error.toPrecision(2))}`));
  $("facts").replaceChildren(...facts);
  $("made-by").textContent = `align-eval ${index.version}`;
  $("licences-text").textContent = JSON.parse($("licences").textContent);
}

// Where nothing else is asked for, the page opens at the view with the lowest AER.
function startAtBest() {
  const all = headButtons.map((_, view) => corpusScores(view).aer);
  const real = all.filter((value) => value !== null);
  if (!real.length) return;
  const best = all.indexOf(Math.min(...real));
  state.row = Math.floor(best / index.columns.labels.length);
  state.column = best % index.columns.labels.length;
}

async function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => { if (!state.theme) { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; showTheme(); } };
  follow();
  dark.addEventListener("change", () => { follow(); render(); });
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot unpack the page's data: use Firefox 113, Chrome 103, Safari 16.4 or later");
  }
  showFrame();
  const packed = await unpack("counts");
  counts = packed && packed.arrays.counts;
  buildHeads();
  setUpControls();
  setUpMap();
  if (many) buildCorpus();
  if (counts) startAtBest();
  readAddress();
  for (const type of ["hashchange", "popstate"]) window.addEventListener(type, () => { readAddress(); render(); });
  await render();
}

start().catch((error) => {
  $("failure").hidden = false;
  $("failure-text").textContent = String(error.message || error);
  throw error;
});
