"""Files of links with scores against gold: read, matched, judged; as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import InputError
from align_eval.files import short_names
from align_eval.links.table import kept
from align_eval.scoring.checks import check_policies
from align_eval.scoring.link_scores import LinkScores, link_scores
from align_eval.scoring.systems import ReadOptions, find_gold, measure_sentences, reading_signature, side_by_side
from align_eval.tables import TextTable, p_value, percent

if TYPE_CHECKING:
    from align_eval.corpora.pair import SentencePair


def score_scored_files(
    gold: str,
    hypotheses: Sequence[str],
    *,
    pairs: Iterable[SentencePair] | None = None,
    gold_options: ReadOptions = ReadOptions(),
    hypothesis_options: ReadOptions = ReadOptions(),
    missing_sentences: str = "raise",
    unannotated: str = "count",
    first: int | None = None,
    **options: Any,
) -> list[LinkScores]:
    """Judge the scores of files of links; arguments as of :func:`align_eval.scoring.systems.score_files`.

    What a person should know of the reading is told there, not here. ``options`` are those of
    :func:`align_eval.scoring.link_scores.link_scores`.

    Raises:
        InputError: null links that are to be counted: they have no scores; standard input.
    """
    check_policies(unannotated, first)
    if "count" in (gold_options.nulls, hypothesis_options.nulls):
        raise InputError("null links have no scores", remedy="Leave --nulls count out")
    if "-" in (gold, *hypotheses):
        raise InputError("standard input can be read once only, scores need it again", remedy="Name a file")
    source = find_gold(gold, gold_options, pairs)
    readers = [hypothesis_options.reader(path) for path in hypotheses]
    measure_sentences(source, readers, first)
    names = short_names(hypotheses)
    # One block: links are ranked across all sentence pairs.
    (tables,) = side_by_side(source, readers, 2**31 - 1, missing_sentences, first)
    if unannotated == "skip":
        bare = np.diff(tables[0].offsets) == 0
        tables = [kept(table, ~bare) for table in tables]
    out = []
    for path, name, reader, table in zip(hypotheses, names, readers, tables[1:], strict=True):
        said = reading_signature(
            source, reader.report, path, hypothesis_options, missing_sentences, unannotated, first
        )  # fmt: skip
        out.append(link_scores(tables[0], table, name, signature=said, **options))
    return out


def link_score_tables(systems: Sequence[LinkScores]) -> list[TextTable]:
    """A table of all systems, and of each one its thresholds and its bins."""
    columns = ["system", "links", "correct", "average precision", "95 %", "AUC", "95 %", "ECE", "largest", "Brier"]
    first = TextTable(f"scores of links: {systems[0].sentences} sentence pairs", columns)
    second = TextTable(
        "threshold of the lowest AER on a dev split, scored on the rest",
        ["system", "threshold", "dev pairs", "dev AER", "pairs", "AER", "95 %", "AER of all links", "p"],
    )
    parts: list[TextTable] = []
    for one in systems:
        fit = one.calibration
        numbers = [_number(value) for value in (fit.ece, fit.largest, fit.brier)]
        ranks = [
            cell
            for name in ("average_precision", "auc")
            for cell in (_number(getattr(one, name)), _ends(one.ci.get(name), 3))
        ]
        first.rows.append([one.name, str(one.links), str(one.correct), *ranks, *numbers])
        if one.chosen is not None:
            cut = one.chosen
            second.rows.append([
                one.name, f"{cut.threshold:.3f}", str(cut.development), percent(cut.development_aer),
                str(cut.test.sentences), percent(cut.test.aer), _ends(cut.test.ci.get("aer"), 2),
                percent(cut.test_all.aer), p_value(cut.p_value),
            ])  # fmt: skip
        rows = TextTable(
            f"{one.name}: links scored as high or higher",
            ["threshold", "links", "kept, %", "words covered, %", "precision", "recall", "F1", "AER"],
        )
        rows.rows = [
            [
                f"{c.threshold:.2f}", str(c.links), percent(100 * c.kept, 1), percent(100 * c.covered, 1),
                *map(percent, (c.precision, c.recall, c.f1, c.aer)),
            ]
            for c in one.by_threshold
        ]  # fmt: skip
        bins = TextTable(f"{one.name}: calibration", ["scores", "links", "mean score", "correct"])
        bins.rows = [
            [f"{b.low:.2f} - {b.high:.2f}", str(b.count), _number(b.score), _number(b.accuracy)] for b in fit.bins
        ]
        parts += [rows, bins]
    return [first, *([second] if second.rows else []), *parts]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _ends(ends: tuple[float, float] | None, decimals: int) -> str:
    return "-" if ends is None else f"{ends[0]:.{decimals}f} - {ends[1]:.{decimals}f}"
