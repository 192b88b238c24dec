"""Lines that are no links as they stand but that users have: what they are, and the command that mends them."""

from __future__ import annotations

import re

from align_eval.corpora.link_formats._tokens import FORMS, parse_token

_LINK = r"[0-9]+[-p?][0-9]+"
_KNOWN = (
    (re.compile(r"(?i)<!doctype html|<html"), "an HTML page", "Fetch the file itself: a failed download leaves a page"),
    (
        re.compile(r"version https://git-lfs"),
        "a pointer of Git LFS, not the file itself",
        "Fetch the file: git lfs pull",
    ),
    (
        re.compile(rf'(?i)"?(?:source|src)\w*"?[,;]|[^\t|]+[,;][^\t|]+[,;] *"?{_LINK}'),
        "columns between commas or semicolons (CSV)",
        "Save it as tab-separated text",
    ),
    (re.compile(r"<"), "XML or SGML", "Write one line a sentence pair, links as i-j between spaces"),
    (re.compile(r"#"), "a comment", "Take such lines out: grep -v '^#' FILE > NEW"),
    (re.compile(rf'"[^"]*{_LINK}'), "links between quotation marks", "Take those out: tr -d '\"' < FILE > NEW"),
    (re.compile(r"[^\r]*\r[^\r]"), "lines that end in CR alone", "Convert the line ends: tr '\\r' '\\n' < FILE > NEW"),
    (re.compile(rf"{_LINK} *,"), "links between commas", "Put spaces there: tr ',' ' ' < FILE > NEW"),
    (re.compile(rf"[^\t]*{_LINK}\t+{_LINK}"), "links between tabs", "Put spaces there: tr '\\t' ' ' < FILE > NEW"),
    (
        re.compile(rf"[^\t]*{_LINK}\t-?[0-9.]+$"),
        "links with a score of the sentence pair",
        "Take it out: cut -f1 FILE > NEW",
    ),
    (
        re.compile(r"[0-9]+(?:->|=>|→|:|/|[‐-―−])[0-9]+"),
        "links with another sign than '-'",
        "Write i-j: sed -E 's/([0-9])(->|=>|→|:|\\/|–|—)/\\1-/g' FILE > NEW",
    ),
    (
        re.compile(rf"[0-9]+:? +{_LINK}"),
        "a number before the links, without a tab",
        "Put a tab there: sed -E 's/^([0-9]+):? +/\\1\\t/' FILE > NEW",
    ),
    (
        re.compile(r"-?[0-9]+[,;] ?[0-9]+[,;] ?[0-9]+"),
        "numbers between commas",
        "Put spaces there: tr ',;' '  ' < FILE > NEW",
    ),
    (
        re.compile(rf"{_LINK}[\u00a0\u2000-\u200b\u202f\u3000]"),
        "links between no-break or wide spaces",
        "Put ASCII spaces there",
    ),
    (
        re.compile(r"[0-9]+(?: +[0-9]+\.0){2}"),
        "indices with a decimal point",
        "Write whole numbers: sed 's/\\.0//g' FILE > NEW",
    ),
    (re.compile(r"-?[0-9]+\.[0-9]+$"), "scores, not links", "Give the file of links"),
)


def hint(line: str) -> tuple[str, str] | None:
    """What a line is and how it is mended; ``None`` if that is not known."""
    text = line.strip(" ")
    found = next(((what, remedy) for pattern, what, remedy in _KNOWN if pattern.match(text)), None)
    return found or _columns(text)


def token_hint(line: str) -> tuple[str, str]:
    """What is said of a word that is no link: what its line is, if that is known, and what links look like."""
    known = hint(line)
    if known is not None:
        return f" ({known[0]})", known[1]
    return "", f"Links are separated by spaces and have the forms {FORMS}"


def _columns(line: str) -> tuple[str, str] | None:
    cells = line.split("\t")
    filled = [(k, cell.strip(" ")) for k, cell in enumerate(cells, 1) if cell.strip(" ")]
    links = [k for k, cell in filled if all(parse_token(word) for word in cell.split(" ") if word)]
    if len(cells) < 4 or not links:
        return None
    texts = [k for k, cell in filled if k not in links and " " in cell]
    texts = texts if len(texts) == 2 else [k for k, cell in filled if k not in links and not cell.isdigit()]
    chosen = ",".join(map(str, [*texts, links[0]])) if len(texts) == 2 else "SOURCE,TARGET,LINKS"
    return (
        f"{len(cells)} columns between tabs, with links in column {' and '.join(map(str, links))}",
        f"Take the columns of source, target and links out: cut -f{chosen} FILE > NEW.tsv",
    )
