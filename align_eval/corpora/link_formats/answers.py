"""Answers of language models that were asked for word pairs: JSON, one answer a line, in words in place of indices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any, ClassVar

import numpy as np

from align_eval.corpora.inputs import Input
from align_eval.corpora.link_formats import LINK_FORMATS, LinkFormat
from align_eval.corpora.link_text import NULL
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.raw_links import RawLinks
from align_eval.corpora.rows import parsed
from align_eval.errors import InputError, LengthMismatchError
from align_eval.links.table import LinkTable

# Keys that hold the pairs, or a text with JSON in it; else the only list of an object does.
_WRAPPERS = (
    "alignment", "alignments", "links", "pairs", "word_pairs", "word_alignment", "word_alignments",
    "answer", "response", "output", "content",
)  # fmt: skip
# Keys of rows with sentences or with links in indices: their values are no words of an answer.
_ROWS = ("source", "target", "src", "tgt", "translation", "sure", "possible", "scores")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_NUMBERED = re.compile(r"(.+?)(?:[_#@-]?([0-9]{1,4})|[ _]?[(\[]([0-9]{1,4})[)\]]|([₀-₉]{1,4}))")

Pairs = list[tuple["str | None", "str | None"]]


#: What a word of an answer is: its index (-1: nothing), or why there is none.
Place = int | str
_INVENTED = "a word that its sentence has not"
_UNNUMBERED = "a word that its sentence has more than once and the answer does not number"


@LINK_FORMATS.register("answers", "llm")
class Answers(LinkFormat):
    """``[["the", "das"], ["house", "Haus"]]``, ``{"the": "das"}``, or a list of ``{"source": ..., "target": ...}``.

    The pairs may stand in an object (``{"id": 1, "alignment": [...]}``) or within other text. A word that its sentence
    has more than once is numbered from 1: ``the_2``, ``the2``, ``the(2)``, ``the#2``, ``the₂``. Reading needs the
    sentences. Nothing is guessed: answers without word pairs, words that the sentence has not, and repeated words
    without a number are counted and told (:attr:`LinkReport.notes`).
    """

    own_base: ClassVar[int | None] = 0
    base_may_differ: ClassVar[bool] = False
    names_sentences: ClassVar[bool] = True
    needs_sentences: ClassVar[bool] = True
    needs_sentences_to_read: ClassVar[bool] = True
    has_possible: ClassVar[bool] = False

    def read(self, file: Input) -> Iterator[RawLinks]:
        """Yield one block."""
        pairs = self.pairs
        if pairs is None:
            raise InputError(
                "answers in words are links only together with the sentences", file=file.name,
                remedy="Give them: --bitext FILE, or --source FILE --target FILE (bitext= in Python)",
            )  # fmt: skip
        answers = list(_answers(file))
        names = [name for _, name, _ in answers if name is not None]
        by_name = {pair.id: pair for pair in pairs}
        named = len(names) == len(answers) and all(name in by_name for name in names)
        if not named and len(answers) != len(pairs):
            raise LengthMismatchError(
                f"{len(answers)} answers but {len(pairs)} sentence pairs of text", file=file.name,
                remedy="Check that they belong together, or give each answer the id of its sentence pair",
            )  # fmt: skip
        failed: list[int] = []
        left_out: dict[str, list[str]] = {_INVENTED: [], _UNNUMBERED: []}
        rows: list[tuple[int, int]] = []
        counts: list[int] = []
        for position, (line, name, found) in enumerate(answers):
            pair = by_name[name] if named and name is not None else pairs[position]
            before = len(rows)
            if found is None:
                failed.append(line)
            rows.extend(_links(pair, found or [], line, left_out))
            counts.append(len(rows) - before)
        notes = [f"{len(failed)} of {len(answers)} answers hold no word pairs and count as no links"] if failed else []
        notes = [f"{note} (first: line {failed[0]})" for note in notes]
        notes += [f"{len(x)} word pairs with {why}, left out (first: {x[0]})" for why, x in left_out.items() if x]
        yield RawLinks.of_rows(
            rows,
            counts,
            lines=np.repeat(np.array([line for line, *_ in answers], dtype=np.int64), counts),
            ids=names if named else None,
            notes=notes,
        )

    def write(self, stream: IO[bytes], table: LinkTable, base: int, pairs: Sequence[SentencePair] = ()) -> None:
        """Write one list of word pairs a line, repeated words numbered (``the_2``)."""
        for links, pair in zip(table, pairs, strict=True):
            source, target = _numbered(pair.source), _numbered(pair.target)
            row = {"id": pair.id, "alignment": [[source[i], target[j]] for i, j in links]}
            stream.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


def looks_like_answer(text: str) -> bool:
    """Whether a line holds word pairs in JSON."""
    return bool(_pairs_in(text)[1])


def _answers(file: Input) -> Iterator[tuple[int, str | None, Pairs | None]]:
    """``(line, name or None, word pairs or None)`` of each answer; of an array of objects the line is the element."""
    lines = list(file.lines())
    whole = parsed("\n".join(text for _, text in lines)) if lines and lines[0][1].lstrip().startswith("[") else None
    if isinstance(whole, list) and whole and is_many(whole):
        lines = [(number, json.dumps(entry)) for number, entry in enumerate(whole, 1)]
    for line, text in lines:
        name, pairs = _pairs_in(text)
        yield line, name, pairs


def is_many(entries: list[Any]) -> bool:
    """Whether a JSON array holds one answer in each element, and is not one answer."""
    if all(isinstance(entry, dict) for entry in entries):
        return all(any(isinstance(value, (list, dict)) for value in entry.values()) for entry in entries)
    return _word_pairs(entries) is None and all(_word_pairs(entry) is not None for entry in entries)


def _pairs_in(text: str) -> tuple[str | None, Pairs | None]:
    """The name and the word pairs of one answer; JSON may stand within other text."""
    value = parsed(text)
    if value is None:
        starts = [at for at in (text.find("["), text.find("{")) if at >= 0]
        end = max(text.rfind("]"), text.rfind("}"))
        value = parsed(text[min(starts) : end + 1]) if starts and end > 0 else None
    name = None
    if isinstance(value, dict):
        given = value.get("id")
        if isinstance(given, (str, int)) and not isinstance(given, bool):
            name = str(given)
            value = {key: entry for key, entry in value.items() if key != "id"}
    return name, _word_pairs(value)


def _word_pairs(value: Any) -> Pairs | None:
    if isinstance(value, str):
        return _pairs_in(value)[1] if any(mark in value for mark in "[{") else None
    if isinstance(value, dict):
        if any(key in value for key in _ROWS):
            return None
        for key in _WRAPPERS:
            if isinstance(value.get(key), (list, dict, str)):
                return _word_pairs(value[key])
            if key in value and key in ("links", "pairs"):
                return None
        nested = [entry for entry in value.values() if isinstance(entry, (list, dict)) and entry]
        inside = [entry for entry in nested if isinstance(entry, dict) or not _is_word(entry[0])]
        if len(inside) == 1:
            return _word_pairs(inside[0])
        lists = ((key, entry if isinstance(entry, list) else [entry]) for key, entry in value.items())
        value = [[key, other] for key, others in lists for other in others]
    if not isinstance(value, list):
        return None
    pairs: Pairs = []
    for entry in value:
        sides = list(entry.values()) if isinstance(entry, dict) else entry
        if not isinstance(sides, list) or len(sides) != 2 or not all(map(_is_word, sides)):
            return None
        pairs.append((sides[0], sides[1]))
    return pairs


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _links(pair: SentencePair, pairs: Pairs, line: int, left_out: dict[str, list[str]]) -> Iterator[tuple[int, int]]:
    for one, other in pairs:
        places = _place(one, pair.source), _place(other, pair.target)
        if isinstance(places[0], int) and isinstance(places[1], int):
            yield places[0], places[1]
            continue
        why = _INVENTED if _INVENTED in places else _UNNUMBERED
        word = one if places[0] == why else other
        left_out[why].append(f"{str(word)[:40]!r} in line {line}")


def _place(word: str | None, words: Sequence[str]) -> Place:
    """Where a word of an answer stands in its sentence."""
    word = (word or "").strip(" ")
    if not word or (word in ("NULL", "∅") and word not in words):
        return NULL
    at = [k for k, other in enumerate(words) if other == word]
    if at:
        return at[0] if len(at) == 1 else _UNNUMBERED
    match = _NUMBERED.fullmatch(word)
    if match:
        number = int(next(x for x in match.groups()[1:] if x).translate(_SUBSCRIPTS))
        at = [k for k, other in enumerate(words) if other == match[1]]
        if 1 <= number <= len(at):
            return at[number - 1]
    return _INVENTED


def _numbered(words: Sequence[str]) -> list[str]:
    """The words, those that are there more than once with their number from 1."""
    seen: dict[str, int] = {}
    out = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        out.append(f"{word}_{seen[word]}" if words.count(word) > 1 else word)
    return out
