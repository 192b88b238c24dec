"""Which format a file of links has, told by its content."""

from __future__ import annotations

import re

from align_eval.corpora.link_formats._input import LinkInput
from align_eval.corpora.link_formats._tokens import parse_token, split_scores

_INTEGER = re.compile(r"-?[0-9]+")


def detect(file: LinkInput) -> str:
    """The name of the format, from the first line that is not empty.

    Parquet is known by its first bytes, GIZA++ A3 by its header, JSONL by ``{``, TSV by its columns, NAACL by three or
    more integers, Pharaoh by a link. A file without any text is Pharaoh: sentence pairs without links.

    Raises:
        FormatError: none of them.
    """
    head, _ = file.head()
    if head.startswith(b"PAR1"):
        return "parquet"
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, raw in enumerate(lines, 1):
        line = raw.decode("utf-8", errors="replace").rstrip("\r")
        if not line.strip(" \t"):
            continue
        name = _of_line(line)
        if name is None:
            shown = line if len(line) <= 60 else line[:60] + "..."
            sentences = " ||| " in line
            raise file.malformed(
                f"{shown!r} is sentences, not links"
                if sentences
                else f"cannot tell the format of links from {shown!r}",
                number,
                "Give a file of links"
                if sentences
                else "Name the format (--from, --format or --gold-format; format= in Python): "
                "pharaoh, talp, naacl, a3, tsv, jsonl or parquet",
            )
        return name
    return "pharaoh"


def _of_line(line: str) -> str | None:
    if line.startswith("#") and "Sentence pair" in line:
        return "a3"
    if line.lstrip(" ").startswith("{"):
        return "jsonl"
    columns = [word for word in re.split("[ \t]+", line) if word]
    if len(columns) >= 3 and all(_INTEGER.fullmatch(word) for word in columns[:3]):
        return "naacl"
    cells = line.split("\t")
    if len(cells) >= 3:
        links = [word for word in cells[2].split(" ") if word]
        return "tsv" if all(parse_token(word) for word in links) else None
    if any(parse_token(word) for word in split_scores(line)[0].split(" ")):
        return "pharaoh"
    return None
