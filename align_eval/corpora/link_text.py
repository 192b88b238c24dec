"""One link as text has it (``3-4``, ``3p4``, ``3-4:0.9``); text that is no links or no sentences, and its remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from align_eval.corpora.lines import looks_like_links
from align_eval.files import parse_json

if TYPE_CHECKING:
    from align_eval.corpora.formats import Head


#: What stands for a side that is missing, and the highest index.
NULL, MAX_INDEX = -1, 2**31 - 2

#: What a link may look like, for messages.
FORMS = (
    "i-j (sure), ipj, i?j, i-j-P, i-jP (possible), i-j-S, i-jS (sure), each perhaps with a score (i-j:0.9, i-j-0.9), "
    "and -1 or nothing for a missing side"
)

# A score behind "-" has a decimal point or an exponent, for i-j-1 may be anything.
_TOKEN = re.compile(
    r"(-1|[0-9]*)([-p?])(-1|[0-9]*)(?:-?([SP]))?"
    r"(?::(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|-(-?[0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE]-[0-9]+))?"
)
# What aligners write behind the links of a line: scores of the sentence pair.
_SCORE = r"-?[0-9.]+(?:[eE][-+]?[0-9]+)?"
_SENTENCE_SCORES = re.compile(rf"(?: *\|\|\| *{_SCORE})+ *")

#: The two indices, whether the link is sure, and its score.
Token = tuple[int, int, bool, "float | None"]


def parse_token(token: str) -> Token | None:
    """``(first, second, sure, score)`` of one link as written, -1 for a missing side; ``None`` if it is malformed.

    >>> parse_token("3-4"), parse_token("3p4"), parse_token("3-4-P"), parse_token("3-")
    ((3, 4, True, None), (3, 4, False, None), (3, 4, False, None), (3, -1, True, None))
    >>> parse_token("3-4-0.9"), parse_token("3p4:0.9")
    ((3, 4, True, 0.9), (3, 4, False, 0.9))
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    first, mark, second, suffix, after_colon, after_dash = match.groups()
    if not (first or second) or ((suffix or after_dash) and not second) or (suffix == "S" and mark != "-"):
        return None
    if len(first) > 1000 or len(second) > 1000:
        return None
    i, j = int(first or NULL), int(second or NULL)
    score = float(after_colon or after_dash) if after_colon or after_dash else None
    if i > MAX_INDEX or j > MAX_INDEX or (score is not None and not abs(score) < 3e38):
        return None
    return i, j, mark == "-" and suffix != "P", score


def are_links(text: str) -> bool:
    """Whether all words between spaces are links; no word at all counts."""
    return all(parse_token(word) for word in text.split(" ") if word)


def is_score(text: str) -> bool:
    """Whether ``text`` is one number."""
    return re.fullmatch(rf" *{_SCORE} *", text) is not None


def split_scores(text: str) -> tuple[str, bool]:
    """The links of a line without the scores of its sentence pair (`` ||| -12.3``), and whether there were any."""
    at = text.find("|||")
    if at < 0 or not _SENTENCE_SCORES.fullmatch(text, at):
        return text, False
    return text[:at], True


def split_fields(text: str) -> list[str]:
    """The fields of a line: what the word ``|||`` separates.

    >>> split_fields("the house ||| das Haus ||| 0-0 1-1"), split_fields("||| das Haus")
    (['the house', 'das Haus', '0-0 1-1'], ['', 'das Haus'])
    """
    parts = text.split(" ||| ")
    if text.count("|||") == len(parts) - 1:
        return parts
    fields: list[list[str]] = [[]]
    for word in text.split(" "):
        if word == "|||":
            fields.append([])
        else:
            fields[-1].append(word)
    return [" ".join(words) for words in fields]


_LINK = r"[0-9]+[-p?][0-9]+"
_PAGE = ("an HTML page", "Fetch the file itself: a failed download leaves a page")
_POINTER = ("a pointer of Git LFS, not the file itself", "Fetch the file: git lfs pull")
_KNOWN = {
    r"(?i)<!doctype html|<html": _PAGE,
    r"version https://git-lfs": _POINTER,
    rf'(?i)"?(?:source|src)\w*"?[,;]|[^\t|]+[,;][^\t|]+[,;] *"?{_LINK}': (
        "columns between commas or semicolons (CSV)", "Save it as tab-separated text"),
    r"<": ("XML or SGML", "Write one line a sentence pair, links as i-j between spaces"),
    r"#": ("a comment", "Take such lines out: grep -v '^#' FILE > NEW"),
    rf'"[^"]*{_LINK}': ("links between quotation marks", "Take those out: tr -d '\"' < FILE > NEW"),
    r"[^\r]*\r[^\r]": ("lines that end in CR alone", "Convert the line ends: tr '\\r' '\\n' < FILE > NEW"),
    rf"{_LINK} *,": ("links between commas", "Put spaces there: tr ',' ' ' < FILE > NEW"),
    rf"[^\t]*{_LINK}\t+{_LINK}": ("links between tabs", "Put spaces there: tr '\\t' ' ' < FILE > NEW"),
    rf"[^\t]*{_LINK}\t-?[0-9.]+$": (
        "links with a score of the sentence pair", "Take it out: cut -f1 FILE > NEW"),
    r"[0-9]+(?:->|=>|→|:|/|[‐-―−])[0-9]+": (
        "links with another sign than '-'", "Write i-j: sed -E 's/([0-9])(->|=>|→|:|\\/|–|—)/\\1-/g' FILE > NEW"),
    rf"[0-9]+:? +{_LINK}": (
        "a number before the links, without a tab", "Put a tab there: sed -E 's/^([0-9]+):? +/\\1\\t/' FILE > NEW"),
    r"-?[0-9]+[,;] ?[0-9]+[,;] ?[0-9]+": ("numbers between commas", "Put spaces there: tr ',;' '  ' < FILE > NEW"),
    rf"{_LINK}[\u00a0\u2000-\u200b\u202f\u3000]": (
        "links between no-break or wide spaces", "Put ASCII spaces there"),
    r"[0-9]+(?: +[0-9]+\.0){2}": (
        "indices with a decimal point", "Write whole numbers: sed 's/\\.0//g' FILE > NEW"),
    r"-?[0-9]+\.[0-9]+$": ("scores, not links", "Give the file of links"),
}  # fmt: skip


def hint(line: str) -> tuple[str, str] | None:
    """What a line that is no links is, and how it is mended; ``None`` if that is not known."""
    text = line.strip(" ")
    return next((known for pattern, known in _KNOWN.items() if re.match(pattern, text)), None) or _columns(text)


def token_hint(line: str) -> tuple[str, str]:
    """What is said of a word that is no link: what its line is, if that is known, and what links look like."""
    known = hint(line)
    if known is not None:
        return f" ({known[0]})", known[1]
    return "", f"Links are separated by spaces and have the forms {FORMS}"


def _columns(line: str) -> tuple[str, str] | None:
    cells = line.split("\t")
    filled = [(k, cell.strip(" ")) for k, cell in enumerate(cells, 1) if cell.strip(" ")]
    links = [k for k, cell in filled if are_links(cell)]
    if len(cells) < 4 or not links:
        return None
    texts = [k for k, cell in filled if k not in links and " " in cell]
    texts = texts if len(texts) == 2 else [k for k, cell in filled if k not in links and not cell.isdigit()]
    chosen = ",".join(map(str, [*texts, links[0]])) if len(texts) == 2 else "SOURCE,TARGET,LINKS"
    return (
        f"{len(cells)} columns between tabs, with links in column {' and '.join(map(str, links))}",
        f"Take the columns of source, target and links out: cut -f{chosen} FILE > NEW.tsv",
    )


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
