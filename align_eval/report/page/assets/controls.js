// Buttons, switches and keys.
const LEVELS = { subword: "sub-words", word: "words" };
const VARIANTS = { full: "full", masked: "masked", difference: "difference" };
const SCALES = { map: "this map", all: `all ${index.columns.name}s`, own: "own range" };

function radio(id, names, offered, chosen, choose) {
  const box = $(id);
  if (box.dataset.for !== offered.join()) {
    box.replaceChildren(...offered.map((value) => make("button", { type: "button", role: "radio", "data-value": value }, names[value])));
    box.dataset.for = offered.join();
    box.onclick = (event) => { const button = event.target.closest("button"); if (button) choose(button.dataset.value); };
    box.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const values = box.dataset.for.split(",");
      const now = values.indexOf(box.querySelector('[aria-checked="true"]').dataset.value);
      const next = values[(now + step + values.length) % values.length];
      choose(next);
      requestAnimationFrame(() => box.querySelector(`[data-value="${next}"]`).focus());
    };
  }
  for (const button of box.children) {
    const own = button.dataset.value === chosen;
    button.setAttribute("aria-checked", String(own));
    button.tabIndex = own ? 0 : -1;
  }
}

function fillControls(entry, map) {
  const set = (key) => (value) => { state[key] = value; render(); };
  radio("level", LEVELS, entry.levels, map.level, set("level"));
  $("level-line").hidden = entry.levels.length < 2;
  radio("variant", VARIANTS, entry.variants, map.variant, set("variant"));
  $("variant-line").hidden = entry.variants.length < 2;
  radio("scale", SCALES, Object.keys(SCALES), state.scale, set("scale"));
  $("range").hidden = state.scale !== "own";
  $("low").value = state.low;
  $("high").value = state.high;
  $("low-value").textContent = brief(map.low);
  $("high-value").textContent = brief(map.high);
  const maps = Object.keys(map.diverging ? DIVERGING : MAPS);
  $("colours").replaceChildren(...maps.map((name) => make("option", { value: name }, name)));
  $("colours").value = map.diverging ? state.diverging : mapName();
  for (const [id, there] of [["gold", entry.goldOf.size > 0], ["links", Boolean(entry.arrays.links)]]) {
    $(id).checked = state[id];
    $(`${id}-line`).hidden = !there;
  }
  $("links").disabled = map.variant !== "full";
  $("numbers").checked = state.numbers;
  $("legend-gold").hidden = !map.gold;
  $("legend-links").hidden = !map.links;
  $("legend-links-name").textContent = `link found (${index.method})`;
  $("legend-masked").hidden = entry.variants.length < 2;
  $("no-gold").hidden = !(entry.gold && !entry.goldOf.size);
}

function setUpControls() {
  const on = (id, type, act) => $(id).addEventListener(type, act);
  on("metric", "change", () => { state.metric = $("metric").value; render(); });
  on("colours", "change", () => { chooseColours($("colours").value); });
  for (const id of ["gold", "links", "numbers"]) on(id, "change", () => { state[id] = $(id).checked; render(); });
  for (const id of ["low", "high"]) {
    on(id, "input", () => {
      state[id] = Number($(id).value);
      if (state.low >= state.high) {
        if (id === "low") state.high = Math.min(1, state.low + 0.01);
        else state.low = Math.max(0, state.high - 0.01);
      }
      render();
    });
  }
  on("back", "click", () => go(null));
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  on("save-svg", "click", () => exportMap("svg"));
  on("save-png", "click", () => exportMap("png"));
  on("save-tsv", "click", exportValues);
  on("save-scores", "click", exportScores);
  on("theme", "click", switchTheme);
  on("help", "click", showHelp);
  on("close-help", "click", () => $("help-box").close());
  on("larger", "click", () => zoom(1.25));
  on("smaller", "click", () => zoom(0.8));
  on("fit", "click", () => { state.zoom = 0; render(); });
  document.addEventListener("keydown", onKey);
}

function showHelp() {
  $("help-box").showModal();
  $("close-help").focus();
}

function chooseColours(name) {
  if (name in DIVERGING) state.diverging = name;
  else state.colours = name;
  render();
}

function zoom(factor) {
  if (!current) return;
  const cell = current.layout.cell * factor;
  state.zoom = Math.min(Math.max(Math.round(factor > 1 ? Math.ceil(cell) : Math.floor(cell)), 3), 80);
  render();
}

// Entries next to the open one, in the order of the list.
function step(by) {
  if (!many || state.entry === null) return;
  const order = listed.includes(state.entry) ? listed : index.entries.map((_, number) => number);
  const next = order.indexOf(state.entry) + by;
  if (next >= 0 && next < order.length) go(order[next]);
}

const cycle = (values, now) => values[(values.indexOf(now) + 1) % values.length];

const KEYS = {
  g: () => { state.gold = !state.gold; },
  l: () => { state.links = !state.links; },
  v: () => { state.numbers = !state.numbers; },
  w: (entry) => { if (entry) state.level = cycle(entry.levels, levelOf(entry)); },
  m: (entry) => { if (entry) state.variant = cycle(entry.variants, variantOf(entry)); },
  s: () => { state.scale = cycle(["map", "all"], state.scale); },
  c: (entry) => {
    const diverging = entry && variantOf(entry) === "difference";
    if (diverging) state.diverging = cycle(Object.keys(DIVERGING), state.diverging);
    else state.colours = cycle(Object.keys(MAPS), mapName());
  },
};
const ACTS = {
  n: () => step(1), p: () => step(-1), b: () => go(null), Escape: () => go(null), d: () => switchTheme(),
  e: () => current && state.entry !== null && exportMap("svg"), i: () => current && state.entry !== null && exportMap("png"),
  "+": () => zoom(1.25), "-": () => zoom(0.8), 0: () => { state.zoom = 0; render(); }, "?": showHelp,
  "/": () => { if (state.entry === null) $("filter").focus(); },
};
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help-box").open) return;
  const field = event.target.closest("input, select, textarea");
  const typing = field && field.type !== "checkbox";
  if (typing) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const inGrid = Boolean(event.target.closest("#heads"));
  const arrow = ARROWS[event.key];
  if (arrow && (inGrid || state.entry !== null)) {
    event.preventDefault();
    moveView(...arrow);
    return;
  }
  if (inGrid && (event.key === "Home" || event.key === "End")) {
    event.preventDefault();
    chooseView(state.row, event.key === "Home" ? 0 : index.columns.labels.length - 1, true);
    return;
  }
  const act = Object.hasOwn(ACTS, event.key) && ACTS[event.key];
  if (act) {
    event.preventDefault();
    act();
  } else if (Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key](state.entry === null ? null : opened.get(state.entry));
    render();
  }
}
