"""Translations with marked omissions and hallucinations, in the form of HalOmi (Dale et al. 2023).

Tab-separated text with named columns. ``omit_spans`` is the source, ``hall_spans`` the translation, with ``<<<`` and
``>>>`` around what is omitted or made up; ``class_omit`` and ``class_hall`` begin with a degree, 1 for none.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from align_eval.corpora.pair import SentencePair
from align_eval.corpora.words import load_tokenizer, tokenizer_for
from align_eval.errors import FormatError, InputError
from align_eval.files import read_lines

COLUMNS = ("src_lang", "tgt_lang", "src_text", "mt_text", "omit_spans", "hall_spans", "class_hall", "class_omit")
PERTURBED = "perturbed"
_MARK = re.compile("<<<|>>>")
_DEGREE = re.compile(r"([1-9])(?:_.*)?")


@dataclass(frozen=True)
class LabelledPair:
    """A source with its translation, words 0-based.

    Attributes:
        pair: the words; its name is the line.
        omitted, made_up: for each source word whether it is omitted, for each word of the translation whether it is
            made up: true if any of its characters is marked.
        omission, hallucination: degrees of the sentence, 1 for none.
        direction: ``deu_Latn-eng_Latn``.
    """

    pair: SentencePair
    omitted: tuple[bool, ...]
    made_up: tuple[bool, ...]
    omission: int
    hallucination: int
    direction: str


@dataclass(frozen=True)
class Labelled:
    """What a file holds, and how many rows were left out: ``perturbed`` translations, and ``unmatched`` ones, whose
    marked text is another than the text."""

    pairs: list[LabelledPair]
    perturbed: int = 0
    unmatched: int = 0


def read_labelled(
    path: str, tokenize: tuple[str | None, str | None] = (None, None), *, perturbed: bool = False
) -> Labelled:
    """Read labelled translations.

    Args:
        path: ``halomi_core.tsv``, ``halomi_full.tsv``, or a file with their first eight columns.
        tokenize: tokenisers of source and translation (:func:`align_eval.corpora.words.load_tokenizer`); ``None``: by
            language.
        perturbed: take perturbed translations too; the authors advise against it.

    Raises:
        FormatError: a column is missing, a mark is open or nested, or a class is no degree.
        InputError: a tokeniser changes the text, so that its words cannot be found in it; or no pair is left.
    """
    pairs: list[LabelledPair] = []
    left = [0, 0]
    splitters: dict[tuple[str | None, str], Callable[[str], Iterable[str]]] = {}

    def words(text: str, marks: list[bool], name: str | None, language: str, line: int) -> tuple[list[str], list[bool]]:
        key = name, language
        if key not in splitters:
            splitters[key] = load_tokenizer(name or tokenizer_for(language, ())[0])
        return _words(text, marks, splitters[key], path, line)

    for line, row in _rows(path):
        if not perturbed and row.get("perturbation") == PERTURBED:
            left[0] += 1
            continue
        source, omitted = _marked(row["omit_spans"], path, line)
        target, made_up = _marked(row["hall_spans"], path, line)
        if source.split() != row["src_text"].split() or target.split() != row["mt_text"].split():
            left[1] += 1
            continue
        one, first = words(source, omitted, tokenize[0], row["src_lang"], line)
        other, second = words(target, made_up, tokenize[1], row["tgt_lang"], line)
        pairs.append(LabelledPair(
            SentencePair(str(line), tuple(one), tuple(other)), tuple(first), tuple(second),
            _degree(row["class_omit"], path, line), _degree(row["class_hall"], path, line),
            f"{row['src_lang']}-{row['tgt_lang']}",
        ))  # fmt: skip
    if not pairs:
        raise InputError("no labelled translation is left", file=path, remedy="Give a file of natural translations")
    return Labelled(pairs, *left)


def _rows(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column; cells may be quoted as spreadsheets do, and then hold line ends."""
    line = 0

    def lines() -> Iterator[str]:
        nonlocal line
        for line, text in read_lines(path):  # noqa: B007
            yield text + "\n"

    reader = csv.reader(lines(), delimiter="\t", strict=True)
    try:
        header = next(reader, [])
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise FormatError(
                f"no column {', '.join(missing)}", file=path, line=1, remedy=f"Give the columns {', '.join(COLUMNS)}"
            )
        for cells in reader:
            if len(cells) != len(header):
                raise FormatError(
                    f"{len(cells)} cells, but {len(header)} columns", file=path, line=line, remedy="Mend the line"
                )
            yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise FormatError(f"no tab-separated text: {error}", file=path, line=line, remedy="Mend its quotes") from None


def _marked(text: str, path: str, line: int) -> tuple[str, list[bool]]:
    """The text without marks, and for each character whether it is marked."""
    plain, marks = "", []
    inside, at = False, 0
    for match in [*_MARK.finditer(text), None]:
        part = text[at : match.start() if match else len(text)]
        plain += part
        marks += [inside] * len(part)
        if match is None:
            break
        if (match[0] == "<<<") == inside:
            raise FormatError(
                f"{match[0]} {'within a mark' if inside else 'without <<<'}", file=path, line=line,
                remedy="Mark a part as <<<part>>>",
            )  # fmt: skip
        inside, at = not inside, match.end()
    if inside:
        raise FormatError("<<< without >>>", file=path, line=line, remedy="Mark a part as <<<part>>>")
    return plain, marks


def _words(
    text: str, marks: list[bool], split: Callable[[str], Iterable[str]], path: str, line: int
) -> tuple[list[str], list[bool]]:
    """The words of a text, and which hold a marked character."""
    words, found, at = list(split(text)), [], 0
    for word in words:
        start = text.find(word, at)
        if start < 0 or text[at:start].strip():
            raise InputError(
                f"the tokeniser gives the word {word!r}, which does not come next in the text", file=path, line=line,
                remedy="Pass --tokenize whitespace, or another that keeps the characters",
            )  # fmt: skip
        at = start + len(word)
        found.append(any(marks[start:at]))
    return words, found


def _degree(text: str, path: str, line: int) -> int:
    match = _DEGREE.fullmatch(text)
    if match is None:
        raise FormatError(
            f"the class {text[:40]!r} is no degree", file=path, line=line, remedy="A class is like 1_No_omission"
        )
    return int(match[1])
