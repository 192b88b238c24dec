"""Which format a file of links has, told by its content."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import looks_like_links
from align_eval.corpora.link_formats.answers import looks_like_answer
from align_eval.corpora.link_formats.pharaoh import value_of
from align_eval.corpora.link_formats.tsv import looks_like_multimwa
from align_eval.corpora.link_text import are_links, hint, is_score, parse_token, split_fields, split_scores
from align_eval.corpora.rows import parsed
from align_eval.errors import FormatError
from align_eval.first_bytes import check_text

_INTEGER = re.compile(r"-?[0-9]{1,10}")
_PROBABILITY = re.compile(r"-?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_ENOUGH = 1 << 16
_LINES = 250
NAMES = "pharaoh, talp, naacl, a3, tsv, pipes, numbered, multimwa, lists, answers, jsonl or parquet"


def detect(file: Input) -> str:
    """The name of the format, from many lines (the first 64 KiB, at most 250).

    Parquet is known by its first bytes, GIZA++ A3 by its header, JSON by ``{`` or ``[``. Else each format says how many
    lines are of its form, and the one with the most is taken; of equal ones the one that is told by tabs or ``|||``
    comes before those told by numbers. A file without any text is Pharaoh: sentence pairs without links.
    """
    head, whole = file.head()
    if head.startswith(b"PAR1"):
        return "parquet"
    check_text(head, file.name, start=True)
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace").split("\n")
    if len(text) > 1 and not whole:
        text.pop()  # cut short
    lines = [(number, _clipped(line.rstrip("\r"))) for number, line in enumerate(text[:_LINES], 1)]
    lines = [(number, line) for number, line in lines if line.strip(" \t")]
    if not lines:
        return "pharaoh"
    first = lines[0][1]
    if first.startswith("#") and "Sentence pair" in first:
        return "a3"
    if first.lstrip(" ").startswith(("{", "[", "(")):
        return _of_json(first, text)
    candidates = [line for _, line in lines if "\t" not in line and "|||" not in line and ("[" in line or "{" in line)]
    if any(map(looks_like_answer, candidates)):
        return "answers"
    fits = {name: sum(fit(line) for _, line in lines) for name, fit in _FITS.items()}
    best = max(fits, key=lambda name: fits[name])  # of equal ones the first
    if not fits[best]:
        raise _unknown(file, *lines[0])
    return best


def _clipped(line: str) -> str:
    """The beginning of a line, whole words of it: as much as its form is told by."""
    if len(line) <= _ENOUGH:
        return line
    start = line[:_ENOUGH]
    return start[: start.rfind(" ")] if " " in start else start


def _of_json(first: str, lines: list[str]) -> str:
    whole = parsed("\n".join(lines)) if first.lstrip(" ").startswith("[") else None
    rows = [json.dumps(entry) for entry in whole if isinstance(entry, (dict, list))] if isinstance(whole, list) else []
    if any(looks_like_answer(line) for line in (*lines, *rows, "".join(lines)) if line):
        return "answers"
    if value_of(first) is not None:
        return "lists"
    body = "".join(lines)[:1000]
    return "lists" if re.fullmatch(r"[\[\](){}0-9.,\s-]*", body) else "jsonl"


def _links(text: str) -> bool:
    return looks_like_links(text) or are_links(text)  # ordinary ones are told at once


def _tsv(line: str) -> float:
    cells = line.split("\t")
    return len(cells) >= 3 and _links(cells[2]) and not any(cell.strip(" ") for cell in cells[3:])


def _numbered(line: str) -> float:
    number, tab, rest = line.partition("\t")
    return bool(tab) and _INTEGER.fullmatch(number) is not None and _links(rest)


def _pipes(line: str) -> float:
    fields = split_fields(line)
    return len(fields) >= 3 and _links(fields[2]) and all(map(is_score, fields[3:]))


def _pharaoh(line: str) -> float:
    if looks_like_links(line):
        return 1.0
    words = [word for word in split_scores(line.strip("\t"))[0].split(" ") if word]
    if "|||" in words or "\t" in line.strip("\t"):
        return 0.0
    good = sum(parse_token(word) is not None for word in words)
    return 0.0 if not good else 1.0 if good == len(words) else 0.5


def _naacl(line: str) -> float:
    words = [word for word in re.split("[ \t]+", line[:200]) if word]
    if not 3 <= len(words) <= 5 or not all(_INTEGER.fullmatch(word) for word in words[:3]):
        return 0.5 if len(words) > 3 and all(_INTEGER.fullmatch(word) for word in words[:3]) else 0.0
    rest = words[3:]
    if rest[:1] in (["S"], ["P"]):
        rest = rest[1:]
    return 1.0 if len(rest) <= 1 and all(_PROBABILITY.fullmatch(word) for word in rest) else 0.5


# In the order of preference: what tabs and bars tell, before what numbers tell.
_FITS: dict[str, Callable[[str], float]] = {
    "multimwa": lambda line: looks_like_multimwa(line.split("\t")),
    "tsv": _tsv,
    "numbered": _numbered,
    "pipes": _pipes,
    "naacl": _naacl,
    "pharaoh": _pharaoh,
}


def _unknown(file: Input, number: int, line: str) -> FormatError:
    shown = line if len(line) <= 60 else line[:60] + "..."
    fields = [field.strip(" ") for field in line.split("|||")]
    if len(fields) > 1:
        at = next((k for k, field in enumerate(fields, 1) if field and _links(field)), None)
        if at is None:
            return file.malformed(f"{shown!r} is sentences, not links", number, "Give a file of links")
        return file.malformed(
            f"{shown!r} is {len(fields)} fields between '|||', with links in field {at}", number,
            f"Take it out: awk -F ' *[|][|][|] *' '{{print ${at}}}' FILE > NEW",
        )  # fmt: skip
    known = hint(line)
    if known is None and line.count("\t") == 1 and not any(map(_links, line.split("\t"))):
        known = "two columns of text, not links", "Give a file of links"
    if known is not None:
        return file.malformed(f"{shown!r} is {known[0]}", number, known[1])
    return file.malformed(
        f"cannot tell the format of links from {shown!r}", number,
        f"Name the format (--from, --format, --gold-format or --hyp-format; format= in Python): {NAMES}",
    )  # fmt: skip
