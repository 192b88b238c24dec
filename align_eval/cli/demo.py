"""``align-eval demo``: the main job on what is at hand, in a minute."""

from __future__ import annotations

import sys

import typer

from align_eval.cli._progress import progress_bar
from align_eval.shown import shown


def demo(
    output: str = typer.Option("results/demo", "--output", "-o", metavar="FOLDER", help="Results go here."),
    small: bool = typer.Option(False, help="Only the own corpus, without the real test sets at hand."),
) -> None:
    """Align and score the own corpus and the real test sets found, with offline:e5-small; draw one pair."""
    from align_eval.runs.demo import run_demo
    from align_eval.scoring.tables import score_table
    from align_eval.tables import render_text

    for evaluations in run_demo(output, small, progress_bar):
        sys.stdout.write(render_text([score_table([e.result for e in evaluations])]) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"Written to {shown(output)}: scores.json with all signatures, links, aligned-pair and ")
    sys.stdout.write("hidden-words as PNG and PDF\n")
