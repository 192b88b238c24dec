"""``align-eval sweep``: AER of every layer, head and alignment mode of a model's attention."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.runs.selection import Selected
    from align_eval.runs.sweep import Sweep


def sweep(
    testset: str | None = inputs.TESTSET,
    *,
    data: inputs.GoldPairs,
    model: str = options.MODEL,
    reverse: bool = typer.Option(False, "--reverse", help="Swap source and target of the test set."),
    maps: options.Maps,
    modes: str | None = typer.Option(
        None, help="awo, awi (encoder-decoder, decoder-only), both, src2tgt, tgt2src (encoder). Default: all."
    ),
    select: str = typer.Option(
        "best",
        help="What is chosen on the development part and scored on the rest: best (one view), greedy (views whose "
        "maps are averaged), logistic (views weighted by L1-regularised logistic regression), or all three.",
    ),
    development: float = typer.Option(
        0.2, help="Share of the sentences that views are chosen on; what is chosen is scored on the rest."
    ),
    max_heads: int = typer.Option(8, min=1, help="Views that greedy takes at most, and heads of --export."),
    seed: int = typer.Option(12345, min=0, help="Seed of that split, of cross-validation and of the resamples."),
    languages: inputs.CorpusLanguages,
    json_: bool = typer.Option(
        False, "--json", help="Print a JSON list: an object a layer, head and mode, then one a selection."
    ),
    output: str | None = typer.Option(
        None, "--output", "-o", metavar="FOLDER", help="Also write sweep.json and heatmaps (PNG, PDF) here."
    ),
    links: str | None = typer.Option(
        None, metavar="FILE", help="Also write the links of the chosen view (--select best), for all sentences."
    ),
    export: str | None = typer.Option(
        None,
        metavar="FILE",
        help="Also write the --max-heads best single heads, chosen on the development part, with AER and Translation "
        "Score on the rest.",
    ),
    export_format: Literal["align-eval", "alignatt", "ctranslate2", "whisper", "marian"] = typer.Option(
        "align-eval",
        help="align-eval: all that is known, from 1; alignatt: layer, head, ts from 0; ctranslate2, whisper: "
        "alignment_heads from 0; marian: the number of the layer.",
    ),
    both: str | None = typer.Option(
        None,
        metavar="METHOD",
        help="With --links: that view in both directions, symmetrised: intersection, grow, "
        "grow-diag, grow-diag-final, grow-diag-final-and or union.",
    ),
    loading: options.Loading,
    batch_tokens: int | None = options.BATCH_TOKENS,
    on_long: options.OnLongPair = options.ON_LONG_PAIR,
) -> None:
    """Read alignments out of a model's attention: AER of every layer x head, in one pass over a test set.

    Layers and heads count from 1; head "mean" is the mean over heads. Rows are over the whole set and show where
    alignment lives; what --select chooses is chosen on a development part and scored on the disjoint rest.
    """
    from align_eval.attribution import attribution_options
    from align_eval.cli._progress import progress_bar
    from align_eval.runs.selection import SELECTORS
    from align_eval.runs.selection import select as select_views
    from align_eval.runs.sweep import for_testset, split, sweep_testset

    if both is not None and links is None:
        raise typer.BadParameter("--both goes with --links FILE")
    names = SELECTORS.names() if select == "all" else [SELECTORS.canonical(name) for name in select.split(",")]
    if links is not None and "best" not in names:
        raise typer.BadParameter("--links writes the links of one view: add best to --select")
    if both is not None:  # before the sweep, which may take long
        from align_eval.links.symmetrization import check_names

        check_names(both)
    attribution_options(maps.signal)
    loaded = data.testset(testset, languages.both)
    if reverse:
        loaded = loaded.reverse()
    loaded.gold  # noqa: B018 - without gold links there is nothing to do: say so before a model is loaded
    parts = split(len(loaded.pairs), development, seed)
    named = languages.of_model(testset, reverse)
    if both is not None and testset is None:
        named = {}  # each direction takes the languages of the data
    elif both is not None and named:
        raise typer.BadParameter("--both reads both directions: leave out --source-language and --target-language")
    asked = loading.load(model, **named)
    encoder = for_testset(asked, loaded)
    with progress_bar(loaded.name, len(loaded.pairs)) as progress:
        found = sweep_testset(
            loaded, encoder, modes=None if modes is None else modes.split(","), attribution=maps.signal,
            method=maps.method, development=parts[0] if set(names) - {"best"} else None, token_budget=batch_tokens,
            on_long=on_long, progress=progress, **maps.rules(encoder.layers),
        )  # fmt: skip
    options.say_long({"left_out": found.left_out})
    selected = [select_views(found, name, parts, max_heads=max_heads, seed=seed) for name in names]
    if export is not None:
        from align_eval.runs.alignment_heads import head_rows, translation_scores, write_heads

        with progress_bar(f"Translation Score of {loaded.name}", len(loaded.pairs)) as progress:
            scores = translation_scores(
                loaded, encoder, None if modes is None else modes.split(","), attribution=maps.signal,
                token_budget=batch_tokens, progress=progress,
            )  # fmt: skip
        rows = head_rows(found, scores, parts, max_heads, seed=seed)
        write_heads(export, export_format, found, rows, parts, seed)
        options.say(f"{len(rows)} heads in {shown(export)}")
    if output is not None:
        _write(found, selected, output)
    if links is not None:
        from align_eval.aligners import AlignerSettings
        from align_eval.aligners.attention import AttentionAligner
        from align_eval.aligners.heads import AttentionSettings, Head, mode_name
        from align_eval.corpora import write_links
        from align_eval.runs.evaluate import align_pairs

        chosen = selected[names.index("best")]
        view = found.views[chosen.selection.views[0]]
        combined = None if both is None else (both, "both")
        head = AttentionSettings(Head(view.layer, view.head), mode_name(view.reading), maps.signal, combined)
        given = AlignerSettings(
            encoder if both is None else asked, (maps.method,), on_long=on_long, token_budget=batch_tokens,
            attention=head, source_language=loaded.source_language, target_language=loaded.target_language,
        )  # fmt: skip
        aligner = AttentionAligner(given, keys=maps.keys, queries=maps.queries)
        (table,) = align_pairs(loaded.pairs, aligner).values()
        selection = chosen.score.signature["selection"]
        table.provenance = {**aligner.signature(aligner.systems[0]), "selection": selection}
        write_links(links, table)
    if json_:
        rows = [*found.to_json(), *(one.to_json(found) for one in selected)]
        options.print_json(rows)
    else:
        sys.stdout.write(_text(found, selected))


def _text(found: Sweep, selected: list[Selected]) -> str:
    """The ten best views of the whole set, and what each selection gives on the rest."""
    rows = sorted(found.to_json(), key=lambda row: float(row["aer"]))
    what = f"{found.model}, {found.attribution}, method {found.method}"
    lines = [f"{found.testset.name}: {len(rows)} views of {what}; the ten best on the whole set"]
    lines += ["layer  head  mode        AER  precision  recall"]
    lines += [
        f"{row['layer']!s:>5}  {row['head']!s:>5}  {row['mode']:<8}{row['aer']:>7.2f}{row['precision']:>10.2f}"
        f"{row['recall']:>8.2f}"
        for row in rows[:10]
    ]
    first = selected[0]
    lines += ["", f"Chosen on {first.development} sentences, scored on the other {first.score.sentences}:"]
    for one in selected:
        low, high = one.score.ci["aer"]
        lines += [
            f"{one.selection.name:<9} AER {one.score.aer:.2f} ({low:.2f} - {high:.2f})  {one.describe(found)}",
            f"{'':<9} {one.score.signature}",
        ]
    return "\n".join(map(shown, lines)) + "\n"


def _write(found: Sweep, selected: list[Selected], folder: str) -> None:
    from align_eval.figures.sweep import aer_grid
    from align_eval.runs.results import environment, make_folder, write_figure, write_json

    base = make_folder(folder)
    chosen = [one.to_json(found) for one in selected]
    write_json(base / "sweep.json", {"environment": environment(), "selection": chosen, "views": found.to_json()})
    title = f"{found.model} on {found.testset.name}, {found.attribution}, {found.method}"
    write_figure(aer_grid(found.to_json(), title=title), base, "sweep", ("png", "pdf"))
