"""Rows with named columns (JSON objects, Parquet rows, rows of a data set) as records, and records as rows.

Columns, by default:

- ``source`` and ``target`` (or ``src`` and ``tgt``): text, or a list of words;
- or ``translation``: an object of texts by language, as in ``{"de": "...", "en": "..."}``;
- ``id`` (optional): text or a whole number;
- the links, as in :mod:`align_eval.corpora.row_links` (optional).

The option ``columns`` names others: source, target and, if wanted, links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.corpora.formats import Options, Record, Side
from align_eval.corpora.lines import BASE, check_base
from align_eval.corpora.markup import check_sentence, fault_of
from align_eval.corpora.words import split_words
from align_eval.errors import EncodingError, FormatError, InputError
from align_eval.registry import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair
    from align_eval.links import GoldLinks

ROW_OPTIONS = {
    "columns": Option(many="+", example="en+de", help="the columns of source, target and, if wanted, links"),
    "source_language": Option(example="en", help="language of the source in a 'translation', or a column named so"),
    "target_language": Option(example="de", help="language of the target in a 'translation', or a column named so"),
    "base": BASE,
}


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
    """Turns rows into records.

    Args:
        options: see :data:`ROW_OPTIONS`.

    Raises:
        InputError: an option has a value that cannot be used.
    """

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
        wanted = {*self._sides(have), "id"}
        from align_eval.corpora.row_links import LINK_COLUMNS

        wanted.update(LINK_COLUMNS if self.columns is None else self.columns[2:])
        return [n for n in have if n in wanted]

    def _sides(self, have: Sequence[str] | Mapping[str, Any]) -> tuple[str, ...]:
        """The columns of the two sentences, or the one column ``translation``."""
        if self.columns is not None:
            missing = [c for c in self.columns if c not in have]
            if missing:
                raise FormatError(
                    f"no column {missing[0]!r}",
                    remedy=f"Name columns that exist: {', '.join(map(str, have)) or 'none'}",
                )
            return tuple(self.columns[:2])
        if self.source_language in have and self.target_language in have:
            return (str(self.source_language), str(self.target_language))
        for pair in (("source", "target"), ("src", "tgt")):
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
        if len(sides) == 1:
            source, target = self._translation(row["translation"])
        else:
            source, target = row[sides[0]], row[sides[1]]
        ident = row.get("id")
        if ident is not None and not isinstance(ident, str):
            if not isinstance(ident, int) or isinstance(ident, bool):
                raise FormatError(f"the id is a {type(ident).__name__}", remedy="An id is text or a whole number")
            ident = str(ident)
        return (ident, _side(source, "source"), _side(target, "target"), self._gold(row), line)

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
            raise FormatError(
                f"'translation' has the languages {', '.join(map(str, languages)) or '(none)'}",
                remedy=languages_remedy(languages),
            )
        for language in (source, target):
            if language not in value:
                raise FormatError(
                    f"'translation' has no language {language!r}",
                    remedy=f"There are: {', '.join(map(str, languages)) or 'none'}",
                )
        return value[source], value[target]

    def _gold(self, row: Mapping[str, Any]) -> GoldLinks | None:
        if self.columns is not None:
            row = {"links": row[self.columns[2]]} if len(self.columns) == 3 else {}
        from align_eval.corpora.raw_links import NULL  # numpy comes with it
        from align_eval.corpora.row_links import row_links

        found = row_links(row)
        if found is None:
            return None
        from align_eval.links import GoldLinks, Links

        sure: list[tuple[int, int]] = []
        possible: list[tuple[int, int]] = []
        for first, second, mark in zip(found.sides[::2], found.sides[1::2], found.sure, strict=True):
            if first == NULL or second == NULL:  # a word joined with nothing: no link
                continue
            if first < self.base or second < self.base:
                raise FormatError(
                    f"link [{first}, {second}] has an index 0 but the index base is 1",
                    remedy="Pass --bitext-format auto:base=0 (format= in Python), or leave null links out",
                )
            possible.append((first - self.base, second - self.base))
            if mark:
                sure.append(possible[-1])
        return GoldLinks(Links(sure), Links(possible))


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
            raise EncodingError(
                f"half of a surrogate pair in {what} (U+{ord(text[error.start]):04X})",
                remedy="Mend the text's encoding",
            ) from None


def sides_row(pair: SentencePair) -> dict[str, str | list[str]]:
    """``source`` and ``target``: text where splitting gives the words back, else the words."""
    return {"source": _text(pair.source), "target": _text(pair.target)}


def _text(words: tuple[str, ...]) -> str | list[str]:
    text = " ".join(words)
    return text if split_words(text) == words and fault_of(text) is None else list(words)


def pair_row(pair: SentencePair) -> dict[str, Any]:
    """A pair as a row: ``id``, ``source`` and ``target`` (lists of words), ``sure`` and ``possible`` (or ``None``)."""
    gold = pair.gold
    return {
        "id": pair.id,
        "source": list(pair.source),
        "target": list(pair.target),
        "sure": None if gold is None else gold.sure.pairs.tolist(),
        "possible": None if gold is None else gold.possible.pairs.tolist(),
    }
