"""One link of the Pharaoh family at a time: exact, with the place of every error. The slow and careful way."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from align_eval.corpora.link_formats._input import LinkInput
from align_eval.corpora.raw_links import NULL, RawLinks

MAX_INDEX = 2**31 - 2

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
    if i > MAX_INDEX or j > MAX_INDEX:
        return None
    score = None
    if after_colon or after_dash:
        score = float(after_colon or after_dash)
        if not abs(score) < 3e38:
            return None
    return i, j, mark == "-" and suffix != "P", score


def is_score(text: str) -> bool:
    """Whether ``text`` is one number."""
    return re.fullmatch(rf" *{_SCORE} *", text) is not None


def split_scores(text: str) -> tuple[str, bool]:
    """The links of a line without the scores of its sentence pair (`` ||| -12.3``), and whether there were any."""
    at = text.find("|||")
    if at < 0 or not _SENTENCE_SCORES.fullmatch(text, at):
        return text, False
    return text[:at], True


def parse_lines(file: LinkInput, lines: Iterable[tuple[int, str]]) -> RawLinks:
    """The links of ``(line number, links separated by spaces)``; one line is one sentence pair.

    Scores of the sentence pair behind ``|||`` are left out, and noted.
    """
    known: dict[str, Token] = {}
    scores: list[float] = []
    notes: list[str] = []
    rows: list[Token] = []
    counts: list[int] = []
    start = 0
    for number, text in lines:
        start = start or number
        before = len(rows)
        text = text.strip("\t")
        if "|" in text:
            text, found = split_scores(text)
            if found:
                notes = ["the scores of sentence pairs behind '|||' are left out"]
        for token in text.split(" "):
            if not token:
                continue
            parsed = known.get(token)
            if parsed is None:
                parsed = parse_token(token)
                if parsed is None:
                    shown = token if len(token) <= 40 else token[:40] + "..."
                    from align_eval.corpora.link_formats._hints import token_hint

                    what, remedy = token_hint(text)
                    raise file.malformed(f"{shown!r} is not a link{what}", number, remedy)
                if len(known) < 1 << 16:
                    known[token] = parsed
            rows.append(parsed)
            if parsed[3] is not None:
                scores.append(parsed[3])
            if scores and len(scores) != len(rows):
                raise file.malformed("some links have a score and others have not", number, "Give all or none")
        counts.append(len(rows) - before)
    flat = np.array([row[:3] for row in rows], dtype=np.int32).reshape(-1, 3)
    return RawLinks(
        sentence=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        first=flat[:, 0].copy(),
        second=flat[:, 1].copy(),
        sure=flat[:, 2] != 0,
        sentences=len(counts),
        scores=np.array(scores, dtype=np.float32) if scores else None,
        start_line=start or 1,
        notes=notes,
    )
