"""Judged translations as JSON, as tables for people, and as a folder of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.corpora.words import PUNCTUATION_RULE, describe_detokenizer
from align_eval.files import StrPath, atomic_writer
from align_eval.runs.results import environment, make_folder, write_json
from align_eval.scoring.score import DECIMALS, rounded, rounded_ends
from align_eval.shown import cell, one_line, shown
from align_eval.tables import TextTable, p_value, render_text, signed
from align_eval.translation.metrics import METRICS, sentence_scores
from align_eval.translation.translate import file_stem

if TYPE_CHECKING:
    from align_eval.scoring.paired import PairedTest
    from align_eval.translation.coverage import Diagnosis
    from align_eval.translation.translate import TranslatedText

_UNLINKED = ("uncovered_source", "unsupported_target")
_TITLES = {
    "bleu": "BLEU", "chrf": "chrF", "ter": "TER", "aer": "AER", "uncovered_source": "uncovered",
    "unsupported_target": "unsupported",
}  # fmt: skip
WORST = 5
# Words listed of one sentence and side in the tables for people; JSON and TSV have all.
_SHOWN = 12


def to_json(one: TranslatedText, worst: int = WORST) -> dict[str, Any]:
    """Plain data for ``json.dumps``, with so many of the worst sentences.

    ``bleu``, ``chrf``, ``ter``, ``aer`` (percent), ``uncovered_source`` and ``unsupported_target`` (percent) are
    numbers or ``null``; ``ci`` has their intervals and ``signatures`` their signatures, by the same names; ``paired``
    the tests against the first model.
    """
    text = one.text
    row: dict[str, Any] = {
        "testset": text.base_name, "model": one.model, "sentences": len(text),
        "source_language": text.source_language or None,
        "target_language": text.target_language or None, "reverse": text.reversed,
        "detokenize": describe_detokenizer(text.detokenize),
        **{name: round(metric.score, DECIMALS) for name, metric in one.scores.items()},
        "aer": None, "uncovered_source": None, "unsupported_target": None,
        "decoding": {**one.decoding, **_decoded(one), "empty": sum(not t.text for t in one.translations)},
    }  # fmt: skip
    ci = {name: metric.ci for name, metric in one.scores.items() if metric.ci is not None}
    signatures = {name: metric.signature for name, metric in one.scores.items()}
    paired: dict[str, Any] = {
        name: {test: result.to_json() for test, result in tests.items()} for name, tests in one.tests.items()
    }
    if one.attention is not None:
        score = one.attention.score
        row["aer"] = round(score.aer, DECIMALS)
        row["attention"] = one.attention.to_json()
        signatures["aer"] = str(score.signature)
        if "aer" in score.ci:
            ci["aer"] = score.ci["aer"]
        if one.attention.tests:
            paired["aer"] = {test: _tested(found, "aer") for test, found in one.attention.tests.items()}
    for name in _UNLINKED if one.coverage_tests else ():
        paired[name] = {}
        for test, tested in one.coverage_tests.items():
            ends = rounded_ends({"ci": tested.ci[name]} if name in tested.ci else {})
            paired[name][test] = {**_tested(tested, name), **ends}
    if one.diagnosis is not None and one.reference is not None:
        found, reference = one.diagnosis.coverage.to_json(), one.reference.coverage.to_json()
        ci |= one.diagnosis.coverage.ci
        del found["ci"]
        row |= {name: found.pop(name) for name in _UNLINKED}
        row["diagnostics"] = {
            "aligner": one.diagnosis.aligner,
            "source_tokenizer": one.diagnosis.tokenize[0],
            "translation_tokenizer": one.diagnosis.tokenize[1],
            "punctuation": "counted" if one.diagnosis.punctuation else PUNCTUATION_RULE,
            **found,
            "reference": reference,
        }
        row["worst"] = [worst_row(one, k) for k in one.diagnosis.coverage.worst(worst)]
    row |= {"ci": rounded_ends(ci), "signatures": signatures}
    if one.against is not None:
        row |= {"against": one.against, "paired": paired}
    return row


def _decoded(one: TranslatedText) -> dict[str, int]:
    """How many translations may be incomplete, are missing, or were made in pieces."""
    return {
        "at_limit": sum(t.at_limit for t in one.translations),
        "left": sum(t.left for t in one.translations),
        "in_pieces": sum(t.pieces > 1 for t in one.translations),
    }


def _tested(found: PairedTest, name: str) -> dict[str, Any]:
    return {"difference": rounded(found.difference[name]), "p_value": found.p_value[name]}


def worst_row(one: TranslatedText, k: int) -> dict[str, Any]:
    """Sentence ``k``: texts, and the words without a link (0-based indices with the words)."""
    uncovered, unsupported = _unlinked(one.diagnosis, k)
    return {
        "id": one.text.pairs[k].id,
        "source": one.text.source_texts[k],
        "translation": one.translations[k].text,
        "reference": one.text.target_texts[k],
        "uncovered": [list(word) for word in uncovered],
        "unsupported": [list(word) for word in unsupported],
    }


def _unlinked(diagnosis: Diagnosis | None, k: int) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    if diagnosis is None:
        return [], []
    pair, found = diagnosis.pairs[k], diagnosis.coverage.sentences[k]
    return [(i, pair.source[i]) for i in found.uncovered], [(j, pair.target[j]) for j in found.unsupported]


def render(found: Sequence[TranslatedText], worst: int = WORST) -> str:
    """Tables for a terminal: scores, tests against the first model, what they rest on, the worst sentences."""
    text = found[0].text
    way = f"{text.source_language or '?'} to {text.target_language or '?'}"
    words = {"none": "words joined by spaces"}.get(text.detokenize, f"detokenised: {text.detokenize}")
    table = TextTable(
        f"{text.base_name}: {len(text)} sentence pairs, {way}, {words}",
        ["model", "BLEU", "chrF", "TER", "AER", "uncovered %", "unsupported %"],
    )
    for one in found:
        row = [one.model, *(_with_interval(one.scores[name].score, one.scores[name].ci) for name in METRICS)]
        aer = one.attention
        row.append("-" if aer is None else _with_interval(aer.score.aer, aer.score.ci.get("aer")))
        table.rows.append([*row, *_unlinked_cells(one.diagnosis)])
    if found[0].reference is not None:
        table.rows.append(["(reference)", "-", "-", "-", "-", *_unlinked_cells(found[0].reference)])
    parts = [render_text([table, *_test_tables(found)])]
    parts.append("\n".join(map(shown, _rests_on(found))) + "\n")
    for one in found:
        if one.diagnosis is not None and (listed := one.diagnosis.coverage.worst(worst)):
            sentences = "".join(_sentence(one, k) for k in listed)
            parts.append(f"Most words without a link, {shown(one.model)}:\n{sentences}")
    return "\n".join(parts)


def _with_interval(score: float, ci: tuple[float, float] | None) -> str:
    return f"{score:.2f}" if ci is None else f"{score:.2f} ({ci[0]:.1f} - {ci[1]:.1f})"


def _unlinked_cells(diagnosis: Diagnosis | None) -> list[str]:
    if diagnosis is None:
        return ["-", "-"]
    found = diagnosis.coverage
    values = ((getattr(found, name), found.ci.get(name)) for name in _UNLINKED)
    return ["-" if value is None else _with_interval(value, ci) for value, ci in values]


def _test_tables(found: Sequence[TranslatedText]) -> list[TextTable]:
    """One table a test: differences from the first model, and p-values."""
    tables = []
    with_aer = ("aer",) if sum(one.attention is not None for one in found) > 1 else ()
    unlinked = _UNLINKED if any(one.coverage_tests for one in found) else ()
    for test in [name for one in found[1:2] for name in next(iter(one.tests.values()), {})]:
        columns = [c for name in (*METRICS, *with_aer, *unlinked) for c in (f"Δ{_TITLES[name]}", "p")]
        table = TextTable(f"Against {found[0].model}, {test}", ["model", *columns])
        for one in found[1:]:
            row = [one.model]
            for name in METRICS:
                row += [f"{one.tests[name][test].difference:+.2f}", p_value(one.tests[name][test].p_value)]
            forced = None if one.attention is None else one.attention.tests.get(test)
            others = [*((name, forced) for name in with_aer), *((name, one.coverage_tests[test]) for name in unlinked)]
            for name, result in others:
                row += (
                    ["-", "-"] if result is None else [signed(result.difference[name]), p_value(result.p_value[name])]
                )
            table.rows.append(row)
        tables.append(table)
    return tables


def _rests_on(found: Sequence[TranslatedText]) -> list[str]:
    """Signatures, and what the numbers rest on, a line each."""
    first = found[0]
    lines = [f"{_TITLES[name]}: {metric.signature}" for name, metric in first.scores.items()]
    for one in found:
        if one.attention is not None:
            chosen = one.attention
            how = f"named, scored on {chosen.score.sentences} sentence pairs"
            if chosen.chosen_on:
                how = f"chosen of {chosen.views} on {chosen.chosen_on} sentence pairs, scored on the other "
                how += str(chosen.score.sentences)
            lines.append(
                f"AER of {one.model}: attention to the source while the references are forced, {chosen.view}; {how}"
            )
            lines.append(f"  {chosen.score.signature}")
            if chosen.left_out:
                lines.append(f"  left out, over a model's window: {chosen.left_out} sentence pairs")
    if first.diagnosis is not None:
        source, target = first.diagnosis.tokenize
        rule = "punctuation counted" if first.diagnosis.punctuation else PUNCTUATION_RULE
        lines.append(
            f"Uncovered source words, unsupported words of the translation: links of {first.diagnosis.aligner}; "
            f"tokenised: source {source}, translation {target}; {rule}"
        )
    lines += [f"{one.model}: {note}" for one in found for note in notes(one)]
    return lines


def notes(one: TranslatedText) -> list[str]:
    """What a person should know of the translations: cut, left, in pieces, empty."""
    counts = _decoded(one)
    said = {
        "at_limit": "translations that reached their greatest length and may be incomplete (--max-length)",
        "left": "sources over the model's window, left without a translation",
        "in_pieces": "sources over the model's window, translated in pieces",
    }
    return [f"{what}: {counts[name]}" for name, what in said.items() if counts[name]]


def _sentence(one: TranslatedText, k: int) -> str:
    row = worst_row(one, k)
    words = {}
    for side in ("uncovered", "unsupported"):
        first = [word for _, word in row[side][:_SHOWN]]
        more = len(row[side]) - len(first)
        words[side] = " ".join([*first, *([f"(and {more} more)"] if more else [])]) or "-"
    return (
        f"  {shown(row['id'])}  {shown(row['source'])}\n     -> {shown(row['translation'])}\n"
        f"     uncovered: {shown(words['uncovered'])}   unsupported: {shown(words['unsupported'])}\n"
    )


def write_folder(found: Sequence[TranslatedText], folder: StrPath, worst: int = WORST) -> list[Path]:
    """Write ``scores.json``, and for each model ``K.NAME.txt`` (a translation a line) and ``K.NAME.tsv`` (a row each).

    Returns:
        the files written.
    """
    base = make_folder(folder)
    write_json(base / "scores.json", {"environment": environment(), "models": [to_json(one, worst) for one in found]})
    written = [base / "scores.json"]
    for number, one in enumerate(found, 1):
        stem = file_stem(number, one.model)
        with atomic_writer(base / f"{stem}.txt") as stream:
            stream.writelines(f"{one_line(line)}\n" for line in one.hypotheses)
        with atomic_writer(base / f"{stem}.tsv") as stream:
            stream.writelines("\t".join(row) + "\n" for row in sentence_rows(one))
        written += [base / f"{stem}.txt", base / f"{stem}.tsv"]
    return written


def sentence_rows(one: TranslatedText) -> list[list[str]]:
    """A head and a row a sentence: texts, sentence-level scores, words without a link (``index:word``, 0-based)."""
    text = one.text
    scores = sentence_scores(
        one.hypotheses, text.target_texts, language=text.target_language, tokenize=one.bleu_tokenize
    )
    head = ["id", "source", "reference", "translation", *METRICS, "uncovered", "unsupported", "at_limit", "pieces"]
    rows = [head]
    for k, translation in enumerate(one.translations):
        numbers = [f"{scores[name][k]:.2f}" for name in METRICS]
        unlinked = [" ".join(f"{i}:{word}" for i, word in side) for side in _unlinked(one.diagnosis, k)]
        cells = [text.pairs[k].id, text.source_texts[k], text.target_texts[k], translation.text, *numbers, *unlinked]
        rows.append([cell(c) for c in (*cells, str(translation.at_limit).lower(), str(translation.pieces))])
    return rows
