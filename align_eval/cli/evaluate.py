"""``align-eval evaluate``: align test sets and score the links, in one go."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.runs.evaluate import Evaluation


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def evaluate(
        testsets: list[str] = typer.Argument(..., metavar="TESTSET...", help="Names (align-eval testsets list)."),
        model: str = options.MODEL,
        method: list[str] = typer.Option(
            ["argmax"], "--method", "-x", help="One or several, or 'all'. " + options.METHOD_HELP
        ),
        layers: str | None = typer.Option(
            None, "--layers", "--layer", help="7, 5-8, 1,3,5-8 or all. Default: the model's own layer."
        ),
        json_: bool = typer.Option(False, "--json", help="Print a JSON list, one object a test set and system."),
        latex: bool = typer.Option(False, "--latex", help="Print LaTeX tables (package booktabs)."),
        output: str | None = typer.Option(
            None, "--output", "-o", metavar="FOLDER", help="Also write scores.json and the links of every system here."
        ),
        resamples: int = typer.Option(1000, min=0, help="Resamples of intervals and tests; 0: none of them."),
        seed: int = typer.Option(12345, min=0, help="Seed of the resamples."),
        alpha: float = typer.Option(0.5, min=0, max=1, help="Weight of precision in F_alpha."),
        confidence: float = typer.Option(0.95, help="Level of the intervals, between 0 and 1."),
        subword: options.Subword = options.SUBWORD,
        on_long: options.OnLong = options.ON_LONG,
        device: str = options.DEVICE,
        dtype: options.Dtype = options.DTYPE,
        precision: str | None = options.PRECISION,
        revision: str | None = options.REVISION,
        trust_remote_code: bool = options.TRUST,
        batch_tokens: int = options.BATCH_TOKENS,
    ) -> None:
        """Align named test sets with a model and score the links against gold, with intervals and signatures.

        All layers and methods share one pass of the model. Systems are tested against the first one of their test set.
        """
        if json_ and latex:
            raise typer.BadParameter("--json and --latex exclude each other")
        if not 0 < confidence < 1:
            raise typer.BadParameter("--confidence must be between 0 and 1, for example 0.95")

        from align_eval.aligners import AlignerSettings, make_aligner
        from align_eval.cli._progress import progress_bar
        from align_eval.corpora import load_testset
        from align_eval.runs.evaluate import evaluate_testset

        names, methods = _split(testsets, method)
        _check(methods)
        loaded = [load_testset(name) for name in names]
        encoder: Any = None
        chosen: tuple[int, ...] = ()
        if any(_needs_model(name) for name in methods):
            from align_eval.models import load_model

            encoder = load_model(
                model,
                family="encoder",
                device=device,
                dtype=dtype.value,
                precision=precision,
                revision=revision,
                trust_remote_code=trust_remote_code,
            )
            chosen = () if layers is None else tuple(options.parse_layers(layers, encoder.layers))
        elif layers is not None:
            raise typer.BadParameter("--layers does not go with a method that has no model")
        aligner = make_aligner(
            AlignerSettings(encoder, tuple(methods), chosen, subword.value, on_long.value, batch_tokens)
        )
        found: list[Evaluation] = []
        for testset in loaded:
            with progress_bar(testset.name, len(testset.pairs)) as progress:
                found += evaluate_testset(
                    testset, aligner, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence,
                    progress=progress,
                )  # fmt: skip
        if output is not None:
            from align_eval.runs.results import write_evaluations

            write_evaluations(found, output)
        if json_:
            sys.stdout.write(json.dumps([e.to_json() for e in found], indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(tables(found, latex))


def _split(names: list[str], methods: list[str]) -> tuple[list[str], list[str]]:
    """Test sets and methods: the command line hands over all words but the first after --method as test sets."""
    from align_eval.aligners import ALIGNERS
    from align_eval.extraction import EXTRACTORS

    known = {*EXTRACTORS.names(), *ALIGNERS.names(), "all"}
    more = [name for name in names if name.partition(":")[0] in known]
    methods = [*methods, *more]
    if "all" in methods:
        methods = EXTRACTORS.names()
    return list(dict.fromkeys(n for n in names if n not in more)), list(dict.fromkeys(methods))


def _check(methods: list[str]) -> None:
    """Find out what is wrong with the names of methods before a model is loaded."""
    from align_eval.aligners import ALIGNERS
    from align_eval.aligners.similarity import make_extractors

    make_extractors([method for method in methods if method.partition(":")[0] not in ALIGNERS])


def _needs_model(method: str) -> bool:
    from align_eval.aligners import ALIGNERS

    name = method.partition(":")[0]
    return name not in ALIGNERS or bool(ALIGNERS.get(name).needs_model)


def tables(found: list[Evaluation], latex: bool = False) -> str:
    """A table a test set, and the signature of its best system (all signatures are in the JSON)."""
    from align_eval.scoring.tables import render_latex, render_text, score_table

    by_testset: dict[str, list[Evaluation]] = {}
    for evaluation in found:
        by_testset.setdefault(evaluation.testset, []).append(evaluation)
    parts = [score_table([e.result for e in group]) for group in by_testset.values()]
    best = [min(group, key=lambda e: e.score.aer) for group in by_testset.values()]
    signatures = [f"{e.result.name}: {e.score.signature}" for e in best]
    if latex:
        return render_latex(parts, signatures)
    return render_text(parts) + "\nBest of each set:\n" + "\n".join(signatures) + "\n"
