// The grid of views: one button a layer and head, coloured by a measure; arrows move in it.
const METRICS = {
  aer: "AER, in percent (strong colour: low)",
  gold: "mean mass on gold links",
  rows: "mean of the rows' strongest values",
  peak: "strongest value",
};

let headButtons = [];

function buildHeads() {
  const grid = $("heads");
  grid.replaceChildren();
  headButtons = [];
  grid.setAttribute("aria-label", `Grid of ${index.rows.name}s (down) and ${index.columns.name}s (across)`);
  grid.style.setProperty("--columns", index.columns.labels.length);
  grid.style.setProperty("--height", index.rows.labels.length > 16 ? "15px" : "26px");
  const top = make("div", { role: "row", class: "row" }, make("span", { class: "tick" }));
  const step = Math.ceil(index.columns.labels.length / 16);
  index.columns.labels.forEach((label, c) =>
    top.append(make("span", { role: "columnheader", class: "tick", "aria-label": `${index.columns.name} ${label}` },
      c % step === 0 ? label : "")));
  grid.append(top);
  index.rows.labels.forEach((label, r) => {
    const row = make("div", { role: "row", class: "row" },
      make("span", { role: "rowheader", class: "tick", "aria-label": `${index.rows.name} ${label}` }, label));
    index.columns.labels.forEach((_, c) => {
      const button = make("button", { type: "button", role: "gridcell", tabindex: "-1", "data-row": r, "data-column": c });
      headButtons.push(button);
      row.append(button);
    });
    grid.append(row);
  });
  grid.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) chooseView(Number(button.dataset.row), Number(button.dataset.column), true);
  });
  grid.addEventListener("mouseover", (event) => {
    const button = event.target.closest("button");
    $("head-note").textContent = button ? button.getAttribute("aria-label") : headNote;
  });
  grid.addEventListener("mouseleave", () => ($("head-note").textContent = headNote));
}

let headNote = "";

// Colour the grid. entry: the opened one, or null on the page of the corpus.
function paintHeads(entry) {
  const offered = entry ? ["rows", "peak"] : [];
  if (entry && entry.goldOf.size) offered.unshift("gold");
  if (counts) offered[entry && index.distribution ? "push" : "unshift"]("aer");
  const wanted = entry ? state.metric : "aer";
  const metric = offered.includes(wanted) ? wanted : offered[0] || null;
  fillMetrics(offered, metric, entry);
  let values = null;
  if (metric === "aer") {
    values = headButtons.map((_, view) => (entry ? entryScores(entry.number, view) : corpusScores(view)).aer);
  } else if (metric) {
    values = viewMeasures(entry, levelOf(entry), variantOf(entry))[metric];
  }
  const real = (values || []).filter((value) => value !== null);
  const [low, high] = [Math.min(...real), Math.max(...real)];
  const stops = colourStops(mapName());
  const written = (value) => (metric === "aer" ? value.toFixed(1) : brief(value));
  headButtons.forEach((button, view) => {
    const [row, column] = [Number(button.dataset.row), Number(button.dataset.column)];
    const value = values ? values[view] : null;
    let share = value === null || high === low ? 0 : (value - low) / (high - low);
    if (metric === "aer" && value !== null && high > low) share = 1 - share;
    button.style.backgroundColor = value === null ? "" : colourAt(stops, share);
    button.setAttribute("aria-label", viewName(row, column) + (value === null ? "" : `: ${written(value)}`));
    const chosen = row === state.row && column === state.column;
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
  });
  const own = headButtons[viewNumber()];
  headNote = own.getAttribute("aria-label");
  $("head-note").textContent = headNote;
  $("heads-key").hidden = !real.length;
  if (real.length) {
    const ends = metric === "aer" ? [high, low] : [low, high];
    $("heads-low").textContent = written(ends[0]);
    $("heads-high").textContent = written(ends[1]);
    $("heads-bar").style.background = `linear-gradient(to right, ${stops.join(",")})`;
  }
}

function fillMetrics(offered, metric, entry) {
  const select = $("metric");
  select.replaceChildren(...offered.map((name) => make("option", { value: name }, METRICS[name])));
  if (metric) select.value = metric;
  $("metric-line").hidden = !offered.length;
  select.disabled = offered.length < 2;
  $("heads-title").textContent = entry || !counts
    ? `Choose ${index.rows.name} and ${index.columns.name}`
    : `Each ${index.rows.name} and ${index.columns.name}, over all pairs`;
}

function moveView(down, right) {
  const row = Math.min(Math.max(state.row + down, 0), index.rows.labels.length - 1);
  const column = Math.min(Math.max(state.column + right, 0), index.columns.labels.length - 1);
  chooseView(row, column, true);
}

function chooseView(row, column, focus) {
  state.row = row;
  state.column = column;
  render().then(() => focus && headButtons[viewNumber()].focus({ preventScroll: false }));
}
