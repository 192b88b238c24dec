"""The demonstration: test sets aligned and scored with the offline encoder, and two figures of one sentence pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import Corpus, load_testset
from align_eval.corpora.testsets import locate_testset
from align_eval.figures.pair import aligned_pair
from align_eval.files import StrPath
from align_eval.models import load_model
from align_eval.runs.evaluate import Evaluation, evaluate_testset
from align_eval.runs.infill_pair import run_pair
from align_eval.runs.results import write_evaluations, write_figure

MODEL = "offline:e5-small"
METHODS = ("refined", "argmax")
OWN = ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh")
REAL = ("deen-rwth", "enfr-wpt", "roen-wpt", "jaen-kftt", "zhen-tsinghua")
PICTURE = ("mini-ende", "What are the basic physical laws of the universe ?")
INFILLER = "offline:tiny-deen-mask"
MASKED = "6-9"  # laws of the universe


def run_demo(
    folder: StrPath, small: bool, bar: Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
) -> Iterator[list[Evaluation]]:
    """Align and score the own test sets and, unless ``small``, the real ones whose files are on this machine.

    Yields the evaluations of each; scores, links and figures are written into ``folder``. ``bar`` shows progress.
    """
    model = load_model(MODEL)
    aligner = make_aligner(AlignerSettings(model, METHODS))
    found: list[Evaluation] = []
    for name in (*OWN, *(name for name in REAL if not small and locate_testset(name) is not None)):
        testset = load_testset(name)
        with bar(name, len(testset.pairs)) as progress:
            fresh = evaluate_testset(testset, aligner, progress=progress)
        found += fresh
        yield fresh
        if name == PICTURE[0]:
            draw(make_aligner(AlignerSettings(model, METHODS[:1])), testset, folder)
    write_evaluations(found, folder)


def draw(aligner: Any, testset: Corpus, folder: StrPath) -> None:
    """Draw the pair that ``PICTURE`` names, aligned; and with its sides swapped and English words masked."""
    number = next(k for k, pair in enumerate(testset.pairs) if pair.source_text == PICTURE[1])
    pair = testset.pairs[number]
    (links,) = aligner.align_all([pair])[aligner.systems[0]]
    title = f"{aligner.encoder.name}, {aligner.systems[0]}"
    figure = aligned_pair(pair, aligner.word_map(pair), links, quantity="probability of a link", title=title)
    write_figure(figure, folder, "aligned-pair", ("png", "pdf"))
    found = run_pair(testset.reverse(), number, MASKED, load_model(INFILLER), choose_by="model")
    write_figure(found.figure(), folder, "hidden-words", ("png", "pdf"))
    found.summary().write(folder, "hidden-words")
