"""``align-eval demo``: the main job on what is at hand, in a minute."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer

from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.runs.evaluate import Evaluation


def demo(
    output: str = typer.Option("results/demo", "--output", "-o", metavar="FOLDER", help="Results go here."),
    small: bool = typer.Option(False, help="Only the own corpus, without the real test sets at hand."),
) -> None:
    """Align and score the own corpus and the real test sets found, with offline:e5-small; draw one pair."""
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.demo import OWN, run_demo, testsets_at_hand
    from align_eval.scoring.tables import score_table
    from align_eval.tables import render_text

    with ExitStack() as stack:

        def progress(name: str, total: int):  # type: ignore[no-untyped-def]
            return stack.enter_context(progress_bar(name, total))

        def show(evaluations: list[Evaluation]) -> None:
            stack.close()
            sys.stdout.write(render_text([score_table([e.result for e in evaluations])]) + "\n")
            sys.stdout.flush()

        found, written = run_demo(output, OWN if small else testsets_at_hand(), progress, show)
    sys.stdout.write(f"{shown(found[0].result.name)}: {found[0].score.signature}\n")
    sys.stdout.write("(the signatures of all are in scores.json)\n\n")
    sys.stdout.write("Written: " + ", ".join(shown(str(path)) for path in written) + "\n")
