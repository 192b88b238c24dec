"""Tab-separated text: ``source<TAB>target``, or with links as a third column (XL-WA, Martelli et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.goldtext import BASE, check_base, gold_text, looks_like_links, parse_gold
from align_eval.corpora.inputs import Input
from align_eval.corpora.textout import joined, write_lines
from align_eval.errors import FormatError, InputError
from align_eval.options import Option

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


class Tsv(BitextFormat):
    """Two columns, or three. Quotes have no meaning; the first line decides how many columns there are."""

    summary = "source TAB target, or source TAB target TAB links (i-j sure, ipj possible)"
    options: ClassVar[Mapping[str, Option]] = {
        "header": Option(default="no", choices=("yes", "no"), help="whether the first line names the columns"),
        "base": BASE,
    }
    holds_gold = True

    def detect(self, head: Head) -> float:
        rows = [line.split("\t") for line in head.lines]
        two = head.share(len(row) == 2 for row in rows)
        three = head.share(len(row) == 3 and looks_like_links(row[2]) for row in rows)
        return max(two, three)

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        base = check_base(options.get("base", 0))
        width = 0
        for number, line in source.lines():
            row = line.split("\t")
            if width == 0:
                width = len(row)
                if width not in (2, 3):
                    raise _columns(width, "2 or 3 (source, target, links)", source.name, number)
                if options.get("header") == "yes":
                    continue
            if len(row) != width:
                raise _columns(len(row), f"{width}, as in line 1", source.name, number)
            gold = None
            if width == 3:
                try:
                    gold = parse_gold(row[2], base)
                except FormatError as error:
                    remedy = error.remedy
                    if number == 1:
                        remedy = "Pass --bitext-format tsv:header=yes if it names the columns (format= in Python)"
                    raise FormatError(error.message, file=source.name, line=number, remedy=remedy) from None
            yield None, row[0], row[1], gold, number

    def count(self, source: Input, target: Input | None, options: Options) -> int:
        return max(0, source.count_lines() - (options.get("header") == "yes"))

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        write_lines(path, _lines(pairs))


def _lines(pairs: Iterable[SentencePair]) -> Iterator[str]:
    width = 0
    for pair in pairs:
        row = [joined(pair.source, pair.id, "\t"), joined(pair.target, pair.id, "\t")]
        if pair.gold is not None:
            row.append(gold_text(pair.gold))
        width = width or len(row)
        if len(row) != width:
            raise InputError(
                f"sentence pair {pair.id!r} {'has no' if len(row) == 2 else 'has'} gold links, unlike the first pair",
                remedy="Give all pairs gold links, or none",
            )
        yield "\t".join(row)


def _columns(found: int, wanted: str, name: str, line: int) -> FormatError:
    return FormatError(
        f"{found} tab-separated column{'s' if found != 1 else ''} where {wanted} are needed",
        file=name,
        line=line,
        remedy="Mend the line, or pass another --bitext-format (format= in Python)",
    )


FORMATS.register("tsv", "xl-wa")(Tsv())
