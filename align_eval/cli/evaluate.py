"""``align-eval evaluate``: align test sets and score the links, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.corpora import Corpus
    from align_eval.runs.evaluate import Evaluation


def evaluate(
    testsets: list[str] = typer.Argument(
        None, metavar="[TESTSET...]", help="Names (align-eval testsets list), or files of sentence pairs."
    ),
    *,
    data: inputs.GoldPairs,
    aligning: options.Aligning,
    method: list[str] | None = typer.Option(
        None,
        "--method",
        "-x",
        help="One or several, or 'all'. " + options.METHOD_HELP + options.DEFAULT_METHOD,
    ),
    layers: str | None = typer.Option(
        None,
        "--layers",
        "--layer",
        help="7, 5-8, 1,3,5-8 or all. Default: two thirds of the way up; offline:e5-small: 7.",
    ),
    printed: options.ScoreOutput,
    output: str | None = typer.Option(
        None, "--output", "-o", metavar="FOLDER", help="Also write scores.json and the links of every system here."
    ),
    statistics: options.Statistics,
    loading: options.Loading,
) -> None:
    """Align test sets with a model of any family and score the links against gold, with intervals and signatures.

    Test sets are named ones, or your own data with gold links. All layers and methods share one pass of the model.
    Systems are tested against the first one of their test set.
    """
    from align_eval.aligners import needs_model
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.evaluate import aligners_for, evaluate_testset
    from align_eval.scoring.tables import score_table

    names, methods = _split(testsets or [], method or [])
    methods = methods or [aligning.method(() if layers is None else (0,))]  # which layers is not yet known
    loaded = [data.testset(name, aligning.both, what="a TESTSET") for name in (names or (None,))]
    for testset in loaded:
        testset.gold  # noqa: B018 - without gold links there is nothing to do: say so before a model is loaded
    found_model: Any = None
    chosen: tuple[int, ...] = ()
    if needs_model(methods):
        found_model = loading.load(aligning.model, precision=aligning.precision)
        chosen = () if layers is None else _layers(layers, found_model, loaded[0], aligning.both)
    elif layers is not None:
        raise typer.BadParameter("--layers does not go with a method that has no model")
    asked = aligning.settings(found_model, methods, chosen)
    found: list[Evaluation] = []
    for testset, aligner, said in aligners_for(asked, loaded, aligning.choose_on):
        if said:
            options.say(said)
        with progress_bar(testset.name, len(testset.pairs)) as progress:
            found += evaluate_testset(testset, aligner, progress=progress, **vars(statistics))
        options.say_long(found[-1].long)
    if output is not None:
        from align_eval.runs.results import write_evaluations

        write_evaluations(found, output)
    groups = [[e for e in found if e.testset == name] for name in dict.fromkeys(e.testset for e in found)]
    best = [min(group, key=lambda e: e.score.aer) for group in groups]  # all signatures are in the JSON
    signatures = [f"{e.result.name}: {e.score.signature}" for e in best]
    tables = [score_table([e.result for e in group]) for group in groups]
    printed.print(found, tables, signatures, "Best of each set:")


def _split(names: list[str], methods: list[str]) -> tuple[list[str], list[str]]:
    """Test sets and methods, checked: the command line has all words after the first of --method as test sets."""
    from align_eval.aligners import ALIGNERS
    from align_eval.aligners.similarity import make_extractors
    from align_eval.extraction import EXTRACTORS

    known = {*EXTRACTORS.names(), *ALIGNERS.names(), "all"}
    more = [name for name in names if name.partition(":")[0] in known]
    methods = [*methods, *more]
    if "all" in methods:
        methods = EXTRACTORS.names()
    make_extractors([method for method in methods if method.partition(":")[0] not in ALIGNERS])
    return list(dict.fromkeys(n for n in names if n not in more)), list(dict.fromkeys(methods))


def _layers(text: str, model: Any, testset: Corpus, languages: tuple[str | None, str | None]) -> tuple[int, ...]:
    """The layers of hidden states that ``--layers`` names."""
    if text.strip() != "all":
        return tuple(options.parse_layers(text, 0))
    from align_eval.models.vectors import vector_models

    source, target = languages[0] or testset.source_language, languages[1] or testset.target_language
    return tuple(options.parse_layers(text, vector_models(model.in_languages(source, target))[0].layers))
