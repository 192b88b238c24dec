"""The options that read links from attention, and what they ask for."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from align_eval.aligners import AlignerSettings

ATTENTION = typer.Option(
    None,
    metavar="HEAD",
    help="Read links from an attention head: L6H1 (layer 6, head 1, both from 1), L6 (the mean over its heads), or "
    "auto: the head that aligns --choose-on best. Without it: similarity of hidden states.",
)
MODE = typer.Option(
    None,
    help="Alignment mode of --attention: awo (a word is aligned when it is the output), awi (when it is the input); of "
    "encoders both, src2tgt, tgt2src. Default: awi, both; with auto the best.",
)
ATTRIBUTION = typer.Option(
    "attention",
    metavar="METHOD",
    help="Read another attribution method in place of attention weights: norms, rollout, alti, value-zeroing, ...",
)
SYMMETRIZE = typer.Option(
    None,
    metavar="METHOD[:RULE]",
    help="With --attention: align both directions and combine them: intersection, grow, grow-diag, grow-diag-final, "
    "grow-diag-final-and or union; the rule is both or either.",
)
CHOOSE_ON = typer.Option(
    None,
    metavar="TESTSET",
    help="The test set that --attention auto chooses the head on. Default: the own mini set of the two languages.",
)
SOURCE_LANGUAGE = typer.Option(None, help="Language code of the source, for models of several languages.")
TARGET_LANGUAGE = typer.Option(None, help="Language code of the target, likewise.")


def with_head(asked: AlignerSettings, choose_on: str | None) -> AlignerSettings:
    """The settings with a head: with ``--attention auto`` the one that aligns a test set best, said on stderr."""
    if asked.attention is None or asked.attention.head is not None:
        return asked
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.evaluate import choose_head, testset_to_choose_on

    testset = testset_to_choose_on(choose_on, asked.source_language, asked.target_language)
    total = len(testset.pairs) * (1 if asked.attention.symmetrize is None else 2)
    with progress_bar(f"choosing a head on {testset.name}", total) as progress:
        chosen, said = choose_head(asked, testset, progress=progress)
    sys.stderr.write(f"align-eval: {said}\n")
    return chosen


def for_actors(asked: AlignerSettings, name: str) -> AlignerSettings:
    """The settings with the model's name in place of the loaded model, which cannot be sent to other processes."""
    return asked if isinstance(asked.model, str) else replace(asked, model=name)


def say_long(counted: dict[str, int]) -> None:
    """Say on stderr how many pairs over the model's window were aligned in windows or left out."""
    for kind, what in (
        ("windowed", "aligned in overlapping windows"), ("left_out", "left out"),
    ):  # fmt: skip
        if counted.get(kind):
            pairs = "1 pair is" if counted[kind] == 1 else f"{counted[kind]} pairs are"
            sys.stderr.write(f"align-eval: {pairs} longer than the model's window: {what}\n")
