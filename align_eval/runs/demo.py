"""The demonstration: test sets aligned and scored with the offline encoder, and two figures of one sentence pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import Corpus, load_testset
from align_eval.corpora.testsets import locate_testset
from align_eval.figures.pair import aligned_pair
from align_eval.files import StrPath
from align_eval.models import load_model
from align_eval.runs.evaluate import Evaluation, evaluate_testset
from align_eval.runs.infill_pair import run_pair
from align_eval.runs.results import make_folder, write_evaluations, write_figure

MODEL = "offline:e5-small"
METHODS = ("refined", "argmax")
OWN = ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh")
REAL = ("deen-rwth", "enfr-wpt", "roen-wpt", "jaen-kftt", "zhen-tsinghua")
PICTURE = ("mini-ende", "What are the basic physical laws of the universe ?")
INFILLER = "offline:tiny-deen-mask"
MASKED = "6-9"  # laws of the universe


def testsets_at_hand() -> list[str]:
    """The own test sets, and those of the real ones whose files are on this machine."""
    return [*OWN, *(name for name in REAL if locate_testset(name) is not None)]


def run_demo(
    folder: StrPath,
    names: Sequence[str],
    progress: Callable[[str, int], Callable[[int], None]] | None = None,
    show: Callable[[list[Evaluation]], None] = lambda evaluations: None,
) -> tuple[list[Evaluation], list[Path]]:
    """Align and score test sets; write scores, links and figures into ``folder``.

    ``progress`` makes a function that is called with each advance from a name and a number of pairs; ``show`` is called
    with the evaluations of each test set. Returns all evaluations, and the files to look at first.
    """
    base = make_folder(folder)
    model = load_model(MODEL)
    aligner = make_aligner(AlignerSettings(model, METHODS))
    found: list[Evaluation] = []
    written: list[Path] = []
    for name in names:
        testset = load_testset(name)
        bar = None if progress is None else progress(name, len(testset.pairs))
        fresh = evaluate_testset(testset, aligner, progress=bar)
        show(fresh)
        found += fresh
        if name == PICTURE[0]:
            written += _picture(make_aligner(AlignerSettings(model, METHODS[:1])), testset, base)
            written += _masked_words(testset, base)
    write_evaluations(found, base)
    return found, [base / "scores.json", *written]


def _picture(aligner: Any, testset: Corpus, base: Path) -> list[Path]:
    """Draw the pair that ``PICTURE`` names."""
    pair = next(p for p in testset.pairs if p.source_text == PICTURE[1])
    (links,) = aligner.align_all([pair])[aligner.systems[0]]
    figure = aligned_pair(
        pair, aligner.word_map(pair), links, quantity="probability of a link",
        title=f"{aligner.encoder.name}, {aligner.systems[0]}",
    )  # fmt: skip
    return write_figure(figure, base, "aligned-pair", ("png", "pdf"))


def _masked_words(testset: Corpus, base: Path) -> list[Path]:
    """Draw the pair that ``PICTURE`` names with its sides swapped and English words masked; with its summary."""
    corpus = testset.reverse()
    number = next(k for k, p in enumerate(corpus.pairs) if p.target_text == PICTURE[1])
    found = run_pair(corpus, number, MASKED, load_model(INFILLER), choose_by="model")
    drawn = write_figure(found.figure(), base, "hidden-words", ("png", "pdf"))
    return [*drawn, *found.summary().write(base, "hidden-words")]
