"""Files that are no bitext as they stand but that users have: what they are, and the command that mends them."""

from __future__ import annotations

import re

from align_eval.corpora.formats import Head
from align_eval.corpora.lines import looks_like_links
from align_eval.files import parse_json

_LINKS = re.compile(r"\s*(?:[0-9]+(?:[-:p?][0-9]+)(?:[-:][0-9.]+)?\s*)+")


def unknown_form(head: Head, name: str) -> tuple[str, str] | None:
    """What the file ``name`` is, and the remedy; ``None`` if that is not known."""
    text = head.text.lstrip()
    lines = [line for line in head.lines if line.strip()] or [head.text]
    if re.match(r"\[\s*[\[(\]]", text):
        return "lists of links, not sentences", "Pass the sentences here, and this file where links are read"
    if text.startswith("{"):
        return _json_document(text, head.whole, name)
    lower = text[:1000].lower()
    if lower.startswith(("<!doctype html", "<html")):
        return "an HTML page, not sentences", "Fetch the file itself: a failed download often leaves such a page"
    if text.startswith("version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself", "Fetch the file: git lfs pull"
    if "<seg" in lower:
        return "SGML or XML of one side", "Pass both sides: --source FILE --target FILE"
    if all(_LINKS.fullmatch(line) for line in lines):
        return "links, not sentences", "Pass the sentences here, and this file where links are read"
    return _cells(lines, name)


def _json_document(text: str, whole: bool, name: str) -> tuple[str, str] | None:
    keys = re.findall(r'"([^"]+)"\s*:\s*\[', text)
    if whole:
        try:
            parse_json(text)
        except ValueError:
            return None
    elif "\n" in text and not text.split("\n", 1)[0].rstrip().endswith(("{", "[", ",")):
        return None
    inner = f".{keys[0]}[]" if keys else "."
    return "one JSON document over several lines; one object a line is read", (
        f"Make lines of it: jq -c '{inner}' {name} > {name}l"
    )


def _cells(lines: list[str], name: str) -> tuple[str, str] | None:
    widths = {line.count("\t") + 1 for line in lines}
    if len(widths) == 1 and (width := widths.pop()) > 2:
        rows = [line.split("\t") for line in lines]
        columns = [[row[k].strip() for row in rows[1:] or rows] for k in range(width)]  # line 1 may name the columns
        links = [k for k, cells in enumerate(columns) if any(cells) and all(map(looks_like_links, cells))]
        texts = [k for k, cells in enumerate(columns) if k not in links and any(" " in cell for cell in cells)]
        chosen = (texts if len(texts) == 2 else [0, 1]) + (links[:2] if len(texts) == 2 else [])
        return (
            f"{width} tab-separated columns in each line, of which two are the sentences",
            f"Name them by number: --bitext-format tsv:columns={'+'.join(str(k + 1) for k in chosen)} "
            "(format= in Python): source, target and, if wanted, links",
        )
    for mark, delimiter in ((";", "semicolon"), (",", "comma")):
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and (counts == {1} or counts == {2}):
            return (
                f"the format cannot be told by content: each line has {counts.pop()} {mark!r}, as CSV and as text may",
                f"If it is CSV pass --bitext-format csv:delimiter={delimiter} (format= in Python), else another format",
            )
    return None
