"""``align-eval plot heads``: the information flow of one prediction in every head, and one head in full."""

from __future__ import annotations

import typer

from align_eval.cli import _options as options


def heads(
    *,
    text: str = typer.Option(
        ...,
        help="What the model reads; with a mask ([MASK]) for a masked language model, a translation so far "
        "(may be empty) for an encoder-decoder model.",
    ),
    predict: str | None = typer.Option(
        None, help="The subword whose cross-entropy is explained, such as ' horse'. Default: the most probable."
    ),
    model: str = typer.Option(
        "offline:smollm2-135m", "--model", "-m", help="offline:NAME, a hub name, or a folder; of any family."
    ),
    source: str | None = typer.Option(None, help="The source sentence of an encoder-decoder model."),
    kind: str | None = typer.Option(
        None, help="Which attention: self; of an encoder-decoder model cross (default), decoder-self, encoder-self."
    ),
    cell: str = typer.Option(
        "auto", help="The head to show in full: LAYER,HEAD from 1; auto: the one with the greatest --scalar."
    ),
    scalar: str = typer.Option(
        "max",
        help="One number a head: max (greatest cell between two subwords), max-all (the diagonal too), "
        "sum, flow (the row that predicts), share (of it in the head), gate (signed sum).",
    ),
    group: list[str] | None = typer.Option(
        None,
        "--group",
        help="Bracket a span: NAME=FIRST:END (subwords from 0, END left out) or NAME=words of "
        "the text. May be given several times.",
    ),
    thumbnails: bool = typer.Option(False, "--thumbnails", help="Draw each head's map small, not one number."),
    files: options.FigureFiles,
    languages: options.Languages,
    loading: options.Loading,
) -> None:
    """Draw | attention x gradient | of one prediction: a layer x head grid, and one head's map beside it."""
    files.check()
    wanted = None if cell == "auto" else _cell(cell)
    from align_eval.attribution.text_flow import SCALARS, parse_group, text_flow
    from align_eval.figures.heads import head_zoom, strongest_head, summarise_heads

    loaded = loading.load(model, **vars(languages))
    flow = text_flow(loaded, text, predict, source=source, kind=kind)
    groups = [parse_group(item, flow) for item in group or ()]
    shown = wanted or strongest_head(flow, scalar)
    chosen = "by hand" if wanted else ""
    summary = summarise_heads(flow, shown, scalar=scalar, groups=groups, chosen=chosen)
    files.finish(
        lambda: head_zoom(
            flow.scalar(scalar), shown, flow.saliency[shown[0] - 1, shown[1] - 1], flow.queries, flow.keys,
            quantity="saliency, | A · dL/dA |",
            grid_quantity="saliency, one map a head" if thumbnails else SCALARS[scalar],
            title=f"layer {shown[0]}, head {shown[1]}: predicting “{flow.target}”, p = {flow.probability:.2g}",
            key_groups=groups,
            query_groups=groups if flow.square else (),
            thumbnails=flow.saliency if thumbnails else None,
        ),
        summary,
    )  # fmt: skip


def _cell(text: str) -> tuple[int, int]:
    layer, comma, head = text.partition(",")
    if not (comma and layer.strip().isdecimal() and head.strip().isdecimal()):
        raise typer.BadParameter(f"{text!r}: write LAYER,HEAD, such as 24,6, or auto", param_hint="--cell")
    return int(layer), int(head)
