"""``align-eval demo``: the main job on what is at hand, in a minute."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import typer


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def demo(
        output: str = typer.Option("results/demo", "--output", "-o", metavar="FOLDER", help="Results go here."),
        small: bool = typer.Option(False, help="Only the own corpus, without the real test sets at hand."),
    ) -> None:
        """Align and score the own corpus and the real test sets found, with offline:e5-small; draw one pair."""
        from align_eval.cli._progress import progress_bar
        from align_eval.cli.evaluate import tables
        from align_eval.runs.demo import OWN, run_demo, testsets_at_hand

        with ExitStack() as stack:

            def progress(name: str, total: int):  # type: ignore[no-untyped-def]
                stack.close()
                return stack.enter_context(progress_bar(name, total))

            found, written = run_demo(output, OWN if small else testsets_at_hand(), progress)
        sys.stdout.write(tables(found) + "\nWritten: " + ", ".join(map(str, written)) + "\n")
