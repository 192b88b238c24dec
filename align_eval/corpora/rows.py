"""Rows with named columns (JSON objects, Parquet rows, rows of a data set) as sentence pairs or links, and back.

Columns, by default:

- ``source`` and ``target`` (or ``src`` and ``tgt``): text, or a list of words;
- or ``translation``: an object of texts by language, as in ``{"de": "...", "en": "..."}``;
- ``id`` (optional): text or a whole number;
- ``links`` or ``sure`` (optional): the sure links, a list of ``[i, j]``, or text (``"0-0 1-2"``, in which possible
  links may stand too); ``possible``: possible links likewise, all of P or those that are not sure; ``scores``: one
  number for each entry of ``links`` and then of ``possible``. An index -1 or ``null`` is a missing side: a null link.

The option ``columns`` of bitexts names others: source, target and, if wanted, links.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from align_eval.corpora.formats import Options, Record, Side
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import BASE, check_base, gold_of
from align_eval.corpora.link_text import FORMS, MAX_INDEX, NULL, parse_token
from align_eval.corpora.markup import check_sentence, fault_of
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.words import split_words
from align_eval.errors import EncodingError, FormatError, InputError
from align_eval.files import parse_json
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.links import GoldLinks

ROW_OPTIONS = {
    "columns": Option(many="+", example="en+de", help="the columns of source, target and, if wanted, links"),
    "source_language": Option(example="en", help="language of the source in a 'translation', or a column named so"),
    "target_language": Option(example="de", help="language of the target in a 'translation', or a column named so"),
    "base": BASE,
}
#: The columns that hold links, and those that may hold the two sides.
LINK_COLUMNS = ("links", "sure", "possible", "scores")
SIDE_COLUMNS = (("source", "target"), ("src", "tgt"))
#: What a row of links is like, for messages.
FORM = 'A line is like {"id": "1", "links": [[0, 0], [1, 2]], "possible": [[1, 1]]}'
_OBJECTS = "Write one JSON object in each line"


def json_rows(file: Input) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line, object)`` of JSON lines, or ``(number from 1, object)`` of one array of objects, read whole.

    Another shape of JSON is a :class:`FormatError` that names the command that makes lines of it.
    """
    lines = file.lines()
    first = next(lines, None)
    if first is None:
        return
    value = parsed(first[1])
    if not isinstance(value, dict) and first[1].lstrip(" ")[:1] in ("[", "{", ""):
        rows = _of_whole(file, [text for _, text in chain([first], lines)])
        if rows is not None:
            yield from rows
            return
        lines = file.lines()
    else:
        lines = chain([first], lines)
    for number, text in lines:
        try:
            value = parse_json(text)
        except ValueError as error:
            what = "an empty line" if not text.strip() else f"not JSON: {error}"
            kind = EncodingError if isinstance(error, UnicodeError) else FormatError
            raise kind(what, file=file.name, line=number, remedy=_OBJECTS) from None
        if not isinstance(value, dict):
            made = "(from an array of objects: jq -c '.[]' FILE; from an array of texts: jq -r '.[]' FILE)"
            what = f"a JSON {type(value).__name__} where an object is needed"
            raise file.malformed(what, number, f"{_OBJECTS} {made}")
        yield number, value


def parsed(text: str) -> Any:
    """``text`` as JSON, ``None`` if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_whole(file: Input, lines: list[str]) -> list[tuple[int, dict[str, Any]]] | None:
    """The rows of a file that is one JSON value; ``None``: it is not."""
    value = parsed("\n".join(lines))
    if isinstance(value, list):
        for number, entry in enumerate(value, 1):
            if not isinstance(entry, dict):
                what = f"element {number} of a JSON array is a {type(entry).__name__} where an object is needed"
                remedy = "Write its texts, one a line: jq -r '.[]' FILE > NEW" if isinstance(entry, str) else _OBJECTS
                raise file.malformed(what, None, remedy)
        try:
            parse_json("\n".join(lines))
        except ValueError as error:
            raise EncodingError(f"not JSON: {error}", file=file.name, remedy="Write whole characters") from None
        return list(enumerate(value, 1))
    if isinstance(value, dict):
        what = f"one JSON object over {len(lines)} lines, with the keys {', '.join(map(repr, value))[:80]}"
        raise file.malformed(what, None, _unwrapping(value) or f"{_OBJECTS} (jq -c . FILE)")
    if lines[0].strip() in ("{", "["):
        raise file.malformed("JSON over several lines that is not one value", 1, f"{_OBJECTS} (jq -c . FILE)")
    return None


def _unwrapping(value: dict[str, Any]) -> str | None:
    """The command that takes the rows out of an object that wraps them."""
    for key, entry in value.items():
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            return f"Take its rows out, one a line: jq -c '.{key}[]' FILE"
    return None


def lacks_links(row: dict[str, Any]) -> FormatError:
    """The error that an object has no links: says what it has, and how rows inside of it are taken out."""
    keys = ", ".join(map(repr, row))[:80] or "none"
    remedy = _unwrapping(row)
    lists = [key for key, value in row.items() if isinstance(value, list) and value and isinstance(value[0], list)]
    if remedy is None and len(lists) == 1:
        remedy = f"Name it 'links': jq -c '.links = .{lists[0]}' FILE > NEW"
    elif remedy is None and len(lists) > 1 and len(lists) == len(row):
        remedy = "Make a line of each: jq -c 'to_entries[] | {id: .key, links: .value}' FILE > NEW"
    return FormatError(f"no key 'links'; there are: {keys}", remedy=remedy or "Name it 'links'")


class RowLinks(NamedTuple):
    """Links as written: ``first, second, first, ...``, the mark of each (true: sure), and the score of each."""

    sides: list[int]
    sure: list[bool]
    scores: list[float] | None


def row_links(row: Mapping[str, Any]) -> RowLinks | None:
    """The links of one row; ``None``: it has none of the columns, or nothing stands in them."""
    links, sure = row.get("links"), row.get("sure")
    if links is not None and sure is not None and links != sure:
        raise FormatError("both 'links' and 'sure', and they differ", remedy="Keep one: either are the sure links")
    key = "sure" if links is None else "links"
    value = sure if links is None else links
    if value is None:
        possible = row.get("possible")
        if possible or (possible is not None and "sure" not in row and "links" not in row):
            raise FormatError("'possible' links without 'sure' links", remedy='Write "sure": [] if there are none')
        return None
    sides, marks, found = _links(key, value, True)
    if row.get("possible") is not None:
        more, more_marks, more_found = _links("possible", row["possible"], False)
        sides, marks, found = sides + more, marks + more_marks, found + more_found
    scores = row.get("scores")
    if scores is None:
        scores = found or None
        if found and len(found) != len(marks):
            raise FormatError("some links have a score and others have not", remedy="Give all or none")
    elif not isinstance(scores, list) or not all(_is_score(x) for x in scores):
        raise FormatError("'scores' is not a list of finite numbers", remedy=FORM)
    elif len(scores) != len(marks):
        raise FormatError(f"{len(scores)} scores for {len(marks)} links", remedy="Give each link one score")
    return RowLinks(sides, marks, scores)


def _links(key: str, value: Any, sure: bool) -> tuple[list[int], list[bool], list[float]]:
    """Those of one column: sides, marks, and the scores that stand in text."""
    marks: list[bool] = []
    sides: list[int] = []
    scores: list[float] = []
    if isinstance(value, str):
        for word in split_words(value):
            token = parse_token(word)
            if token is None:
                raise FormatError(f"{word[:40]!r} in {key!r} is not a link", remedy=f"Links in text are {FORMS}")
            sides += token[:2]
            marks.append(token[2] and sure)
            if token[3] is not None:
                scores.append(token[3])
        return sides, marks, scores
    if not isinstance(value, (list, tuple)):
        raise FormatError(f"{key!r} is a {type(value).__name__}", remedy=FORM)
    marks = [sure] * len(value)
    if set(map(type, value)) == {list} and set(map(len, value)) == {2}:
        sides = list(chain.from_iterable(value))
        if set(map(type, sides)) == {int} and min(sides) >= NULL and max(sides) <= MAX_INDEX:
            return sides, marks, scores
        sides = []
    for entry in value:
        whole = isinstance(entry, (list, tuple)) and len(entry) == 2
        two = [NULL if side is None else side for side in entry] if whole else []
        if not two or not all(type(side) is int and NULL <= side <= MAX_INDEX for side in two):
            raise FormatError(f"{str(entry)[:40]!r} in {key!r} is not a link", remedy="A link is [i, j], whole numbers")
        sides += two
    return sides, marks, scores


def _is_score(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 3e38 and math.isfinite(value)


def row_name(row: Mapping[str, Any]) -> str | None:
    """The name of a row, ``None`` where it has none."""
    ident = row.get("id")
    if ident is None or isinstance(ident, str):
        return ident
    if not isinstance(ident, int) or isinstance(ident, bool):
        raise FormatError(f"the id is a {type(ident).__name__}", remedy="An id is text or a whole number")
    return str(ident)


def columns_remedy(have: Iterable[str]) -> str:
    """How the columns of the sentences are named, on the command line and in Python."""
    names = [str(name) for name in have if name != "id"][:2]
    one, other = names if len(names) == 2 else ("SOURCE", "TARGET")
    return f"Pass --bitext-format auto:columns={one}+{other} (format= in Python)"


def languages_remedy(have: Iterable[object]) -> str:
    """How the languages of the sides are named, on the command line and in Python."""
    names = [str(name) for name in have][:2]
    one, other = names if len(names) == 2 else ("en", "de")
    return f"Pass --bitext-format auto:source_language={one},target_language={other} (format= in Python)"


class RowReader:
    """Turns rows into records, by the options :data:`ROW_OPTIONS`."""

    def __init__(self, options: Options) -> None:
        self.columns: Sequence[str] | None = options.get("columns")
        if self.columns is not None and len(self.columns) not in (2, 3):
            raise InputError(
                f"columns {'+'.join(self.columns)}",
                remedy="Name two columns (source+target) or three (source+target+links)",
            )
        self.source_language: str | None = options.get("source_language")
        self.target_language: str | None = options.get("target_language")
        self.base = check_base(options.get("base", 0))

    def needed(self, names: Iterable[str]) -> list[str]:
        """Those of the columns ``names`` that are read."""
        have = list(names)
        wanted = {*self._sides(have), "id", *(LINK_COLUMNS if self.columns is None else self.columns[2:])}
        return [name for name in have if name in wanted]

    def _sides(self, have: Sequence[str] | Mapping[str, Any]) -> tuple[str, ...]:
        """The columns of the two sentences, or the one column ``translation``."""
        if self.columns is not None:
            missing = [c for c in self.columns if c not in have]
            if missing:
                remedy = f"Name columns that exist: {', '.join(map(str, have)) or 'none'}"
                raise FormatError(f"no column {missing[0]!r}", remedy=remedy)
            return tuple(self.columns[:2])
        if self.source_language in have and self.target_language in have:
            return (str(self.source_language), str(self.target_language))
        for pair in SIDE_COLUMNS:
            if pair[0] in have and pair[1] in have:
                return pair
        if "translation" in have:
            return ("translation",)
        raise FormatError(
            "no columns 'source' and 'target' and no column 'translation'",
            remedy=f"{columns_remedy(have)}; there are: {', '.join(map(str, have)) or 'none'}",
        )

    def record(self, row: Mapping[str, Any], line: int | None) -> Record:
        """One row as a record."""
        sides = self._sides(row)
        source, target = self._translation(row["translation"]) if len(sides) == 1 else (row[sides[0]], row[sides[1]])
        return row_name(row), _side(source, "source"), _side(target, "target"), self._gold(row), line

    def _translation(self, value: Any) -> tuple[Any, Any]:
        if not isinstance(value, Mapping):
            raise FormatError("'translation' is not an object of texts by language")
        languages = list(value)
        source, target = self.source_language, self.target_language
        if len(languages) == 2 and (source is None) != (target is None):
            known = target if source is None else source
            other = [x for x in languages if x != known]
            if len(other) == 1:
                source, target = (other[0], known) if source is None else (known, other[0])
        if source is None or target is None:
            what = f"'translation' has the languages {', '.join(map(str, languages)) or '(none)'}"
            raise FormatError(what, remedy=languages_remedy(languages))
        for language in (source, target):
            if language not in value:
                remedy = f"There are: {', '.join(map(str, languages)) or 'none'}"
                raise FormatError(f"'translation' has no language {language!r}", remedy=remedy)
        return value[source], value[target]

    def _gold(self, row: Mapping[str, Any]) -> GoldLinks | None:
        if self.columns is not None:
            row = {"links": row[self.columns[2]]} if len(self.columns) == 3 else {}
        found = row_links(row)
        if found is None:
            return None
        links = zip(found.sides[::2], found.sides[1::2], found.sure, strict=True)
        return gold_of(((i, j, mark, f"[{i}, {j}]") for i, j, mark in links if NULL not in (i, j)), self.base)


def _side(value: Any, what: str) -> Side:
    if isinstance(value, str):
        _check_text(value, what)
        check_sentence(value)
        return value
    if isinstance(value, (list, tuple)):
        for position, word in enumerate(value):
            if not isinstance(word, str):
                raise FormatError(f"word {position} (0-based) of {what} is a {type(word).__name__}, not text")
            if not word:
                raise FormatError(f"word {position} (0-based) of {what} is empty", remedy="Leave empty words out")
            _check_text(word, what)
        return tuple(value)
    raise FormatError(f"{what} is {'missing' if value is None else 'a ' + type(value).__name__}, not text or words")


def _check_text(text: str, what: str) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"half of a surrogate pair in {what} (U+{ord(text[error.start]):04X})"
            raise EncodingError(half, remedy="Mend the text's encoding") from None


def sides_row(pair: SentencePair) -> dict[str, str | list[str]]:
    """``source`` and ``target``: text where splitting gives the words back, else the words."""
    row: dict[str, str | list[str]] = {}
    for name, words in (("source", pair.source), ("target", pair.target)):
        text = " ".join(words)
        row[name] = text if split_words(text) == words and fault_of(text) is None else list(words)
    return row


def pair_row(pair: SentencePair) -> dict[str, Any]:
    """A pair as a row: ``id``, ``source`` and ``target`` (lists of words), ``sure`` and ``possible`` (or ``None``)."""
    gold = pair.gold
    return {
        "id": pair.id, "source": list(pair.source), "target": list(pair.target),
        "sure": None if gold is None else gold.sure.pairs.tolist(),
        "possible": None if gold is None else gold.possible.pairs.tolist(),
    }  # fmt: skip
