// The page of all pairs: scores of each under the chosen view, sortable, leading to each pair.
const PORTION = 200;
let listed = []; // numbers of entries in the order shown
let drawn = 0;

const sizeOf = (about) => (about.text ? about.text.length : about.source.length + about.target.length);
const textOf = (about) => (about.text ? about.text.join(" ") : `${about.source.join(" ")} ${about.target.join(" ")}`);

function columnsOfTable() {
  const text = index.entries.some((about) => about.text);
  const columns = [
    { key: "number", name: "#", title: "place in the file", value: (n) => n, show: (n) => String(n + 1) },
    { key: "text", name: text ? "text" : "pair", title: "the texts", value: (n) => textOf(index.entries[n]), wide: true },
    { key: "size", name: "words", title: text ? "words" : "source \u00d7 target words", value: (n) => sizeOf(index.entries[n]),
      show: (n) => { const a = index.entries[n]; return a.text ? String(a.text.length) : `${a.source.length} \u00d7 ${a.target.length}`; } },
  ];
  if (!counts) return columns;
  const score = (key, name, title, show, optional) => columns.push({ key, name, title, optional,
    value: (n) => entryScores(n)[key], show: (n) => show(entryScores(n)[key]) });
  score("aer", "AER", "alignment error rate of this pair, in percent", percent);
  score("precision", "P", "precision in percent: found links that are possible links", percent, true);
  score("recall", "R", "recall in percent: sure links that are found", percent, true);
  score("links", "found", "links found", String, true);
  score("sure", "sure", "sure gold links", String, true);
  score("linksSure", "hit", "sure gold links that were found", String, true);
  return columns;
}

let tableColumns = [];

function buildCorpus() {
  tableColumns = columnsOfTable();
  const head = make("tr");
  for (const column of tableColumns) {
    head.append(make("th", { scope: "col", "data-key": column.key, class: classOf(column) },
      make("button", { type: "button", title: `Sort by ${column.title}`, onclick: () => sortBy(column.key) }, column.name)));
  }
  $("table-head").replaceChildren(head);
  $("filter").addEventListener("input", () => { state.filter = $("filter").value; fillCorpus(); });
  $("more").addEventListener("click", addRows);
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) addRows(); }, { rootMargin: "600px" })
    .observe($("more"));
}

const classOf = (column) => [column.wide ? "wide" : "number", column.optional ? "optional" : ""].join(" ").trim();

function sortBy(key) {
  if (state.sort === key) state.descending = !state.descending;
  else {
    state.sort = key;
    state.descending = key === "aer"; // what is worst is looked for first
  }
  fillCorpus();
}

function fillCorpus() {
  const wanted = state.filter.trim().toLowerCase();
  listed = index.entries.map((_, number) => number).filter((number) =>
    !wanted || `${index.entries[number].id} ${textOf(index.entries[number])}`.toLowerCase().includes(wanted));
  const column = tableColumns.find((one) => one.key === state.sort) || tableColumns[0];
  const keyed = new Map(listed.map((number) => [number, column.value(number)]));
  const sign = state.descending ? -1 : 1;
  listed.sort((a, b) => {
    const [x, y] = [keyed.get(a), keyed.get(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b; // what has no score stands last
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return sign * order || a - b;
  });
  for (const head of $("table-head").querySelectorAll("th")) {
    const own = head.dataset.key === column.key;
    head.setAttribute("aria-sort", own ? (state.descending ? "descending" : "ascending") : "none");
  }
  $("rows").replaceChildren();
  drawn = 0;
  addRows();
  $("list-note").textContent = listed.length === index.entries.length
    ? `${listed.length.toLocaleString("en")} entries` : `${listed.length.toLocaleString("en")} of ${index.entries.length.toLocaleString("en")} entries`;
  $("none-found").hidden = listed.length > 0;
  const summary = $("corpus-scores");
  summary.hidden = !counts;
  if (counts) {
    const all = corpusScores(viewNumber());
    summary.replaceChildren(make("strong", {}, `AER ${all.aer === null ? "\u2013" : all.aer.toFixed(2)}`),
      ` \u00b7 precision ${percent(all.precision)} \u00b7 recall ${percent(all.recall)} \u00b7 ${all.links.toLocaleString("en")} links found `
      + `by ${index.method} \u00b7 ${viewName()}`);
  }
}

function addRows() {
  const rows = $("rows");
  for (const number of listed.slice(drawn, drawn + PORTION)) {
    const about = index.entries[number];
    const row = make("tr", { "data-entry": number });
    for (const column of tableColumns) {
      const cell = make("td", { class: classOf(column) });
      if (column.wide) {
        const link = make("a", { href: `#${address({ ...state, entry: number })}` });
        const texts = about.text ? [about.text] : [about.source, about.target];
        for (const words of texts) link.append(make("span", { dir: "auto" }, words.join(" ") || "(empty)"));
        cell.append(link);
      } else cell.textContent = column.show(number);
      row.append(cell);
    }
    rows.append(row);
  }
  drawn = Math.min(drawn + PORTION, listed.length);
  $("more").hidden = drawn >= listed.length;
}

function exportScores() {
  const head = ["id", ...tableColumns.map((column) => column.key)];
  const lines = listed.map((number) => [index.entries[number].id, ...tableColumns.map((column) => column.value(number) ?? "")]
    .map((cell) => oneLine(String(cell))).join("\t"));
  save(new Blob([head.join("\t") + "\n" + lines.join("\n") + "\n"], { type: "text/tab-separated-values" }),
    `${index.title} ${viewName()} scores`.replace(/[^\p{L}\p{N}.-]+/gu, "-") + ".tsv");
}
