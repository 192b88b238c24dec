"""AER of a translation model's attention while it is made to give out the references, for several models at once.

All views (layer, head, alignment mode) of each model are counted in one pass. A view that is chosen is chosen on a
dev split and scored on the disjoint test split; all models are scored on the same sentence pairs, so that they can be
tested against the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import InputError
from align_eval.runs.sweep import Sweep, split, sweep_testset
from align_eval.scoring import Score
from align_eval.scoring.paired import PairedTest, paired_tests

if TYPE_CHECKING:
    from align_eval.models.seq2seq import Seq2Seq
    from align_eval.runs.parallel_text import ParallelText
    from align_eval.signals.matrix import View


@dataclass(frozen=True)
class AttentionChoice:
    """Which views of the cross-attention may be scored; where several are left, the best on a development part is.

    Attributes:
        layer, head: a number from 1 or ``"mean"``; ``None``: any.
        mode: ``"awi"`` or ``"awo"``; ``None``: any.
        method: how maps become links; ``reverse``: each target word to its best source word.
        development: share of the sentence pairs that the view is chosen on.
    """

    layer: int | str | None = None
    head: int | str | None = None
    mode: str | None = None
    method: str = "reverse"
    development: float = 0.2


@dataclass(frozen=True)
class AttentionScore:
    """The AER of one model.

    Attributes:
        view: layer, head, alignment mode.
        score: over the pairs that the view was not chosen on.
        chosen_on: sentence pairs that it was chosen on; 0 if the user named it.
        views: views that it was chosen from.
        left_out: pairs that do not fit some model's window.
        method: how maps became links.
        tests: paired tests against the first model, same pairs.
    """

    view: View
    score: Score
    chosen_on: int
    views: int
    left_out: int
    method: str
    tests: dict[str, PairedTest]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        found = self.score.to_json()
        kept = ("precision", "recall", "links", "sure", "possible", "sentences")
        return {
            "layer": self.view.layer, "head": self.view.head, "mode": self.view.reading, "method": self.method,
            "development_sentences": self.chosen_on, "views": self.views, "left_out": self.left_out,
            **{name: found[name] for name in kept},
        }  # fmt: skip


def forced_counts(
    text: ParallelText,
    model: Seq2Seq,
    choice: AttentionChoice,
    *,
    leave_long: bool = False,
    token_budget: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Count the links of every view of ``choice`` against the gold of ``text``.

    Args:
        leave_long: leave out pairs that do not fit the model's window; else they raise.

    Raises:
        SentenceTooLongError: a pair does not fit.
        ModelError, InputError: a layer, head or mode that the model does not have.
        InputError: no pair fits.
    """
    testset: Any = text
    return sweep_testset(
        testset,
        model,
        layers="all" if choice.layer is None else [choice.layer],
        heads=("all", "mean") if choice.head is None else [choice.head],
        modes=None if choice.mode is None else [choice.mode],
        method=choice.method,
        token_budget=token_budget,
        on_long="leave" if leave_long else "raise",
        progress=progress,
    )


def score_forced(
    models: Sequence[Sweep],
    choice: AttentionChoice,
    *,
    tests: Sequence[str] = ("randomisation",),
    resamples: int = 1000,
    seed: int = 12345,
) -> list[AttentionScore]:
    """Choose a view of each model and score it, all models on the same pairs; later ones are tested against the first.

    Raises:
        InputError: the development part or the rest would be empty.
    """
    common = np.logical_and.reduce([model.fits for model in models])
    pairs = np.arange(len(common))
    development, rest = np.empty(0, dtype=np.int64), pairs
    if any(len(model.views) > 1 for model in models):
        development, rest = split(len(pairs), choice.development, seed)
    development, rest = development[common[development]], rest[common[rest]]
    if not len(rest) or (not len(development) and any(len(model.views) > 1 for model in models)):
        raise InputError(
            "too few sentence pairs fit the windows of all models to choose a view and score it",
            remedy="Name the view with --layer, --head and --mode, or leave models out",
        )
    out: list[AttentionScore] = []
    first: NDArray[Any] | None = None
    for sweep in models:
        several = len(sweep.views) > 1
        best = sweep.best(development) if several else 0
        rows = sweep.counts[best, rest]
        tested = {}
        if first is None:
            first = rows
        elif resamples and tests:
            tested = paired_tests(first, rows, tests=tests, resamples=resamples, seed=seed)
        score = sweep.score(best, rest, resamples=resamples, seed=seed)
        if "randomisation" in tested:
            score = replace(score, signature=score.signature.extend(ar=resamples))
        chosen_on = len(development) if several else 0
        left = int((~common).sum())
        out.append(AttentionScore(sweep.views[best], score, chosen_on, len(sweep.views), left, choice.method, tested))
    return out
