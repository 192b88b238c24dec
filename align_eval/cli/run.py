"""``align-eval run``: run an experiment file."""

from __future__ import annotations

import sys

import typer

from align_eval.shown import shown


def run(
    experiment: str = typer.Argument(..., metavar="FILE", help="An experiment file, such as experiments/*.toml."),
    output: str = typer.Option("results", "--output", "-o", metavar="FOLDER", help="Results go to FOLDER/NAME."),
) -> None:
    """Run an experiment file; its tables, figures and a page with the best of them are written to results/NAME.

    The file's kind says what is done: evaluate, sweep, signals or infill. An interrupted run goes on where it
    stopped: what was made with the same settings is kept.
    """
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.experiments import read_experiment, run_experiment

    asked = read_experiment(experiment)
    written = run_experiment(asked, output, lambda text: typer.echo(text, err=True), progress_bar)
    sys.stdout.write(f"{shown(str(written))}\n")
