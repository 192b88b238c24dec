// The two sentences (or the text) above the map; the words of the cell under the pointer are marked in them.
let wordElements = { query: [], key: [] };

function showSentences(entry) {
  const box = $("sentences");
  box.replaceChildren();
  wordElements = { query: [], key: [] };
  const changed = new Set(entry.changedWords || []);
  const line = (name, words, kinds) => {
    const text = make("p", { dir: "auto" });
    words.forEach((word, k) => {
      const masked = kinds.includes("query") && changed.has(k);
      const element = make("span", { class: masked ? "word changed" : "word", title: masked ? "masked in the second map" : null }, word);
      for (const kind of kinds) wordElements[kind].push(element);
      text.append(element, " ");
    });
    if (!words.length) text.append(make("em", {}, "(empty)"));
    box.append(make("div", { class: "sentence" }, make("span", { class: "side" }, name), text));
  };
  if (entry.side === "text") return line("text", entry.queryText, ["query", "key"]);
  const targetIsQuery = entry.side === "target";
  line("source", entry.about.source, [targetIsQuery ? "key" : "query"]);
  line("target", entry.about.target, [targetIsQuery ? "query" : "key"]);
}

function markWords(query, key) {
  for (const kind of ["query", "key"]) for (const element of wordElements[kind]) element.classList.remove("at-query", "at-key");
  if (query >= 0 && wordElements.query[query]) wordElements.query[query].classList.add("at-query");
  if (key >= 0 && wordElements.key[key]) wordElements.key[key].classList.add("at-key");
}
