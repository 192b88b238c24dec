"""``align-eval plot pattern``: which token attends to which, and the kind of mask that it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from align_eval.cli import _options as options

if TYPE_CHECKING:
    from align_eval.patterns.attention import TextAttention
    from align_eval.patterns.base import BoolArray
    from align_eval.report.summary import Cell

DEFAULT_MASS = 0.9
DEFAULT_LENGTH = 64


def pattern(
    *,
    kind: str | None = typer.Option(
        None, "--kind", "-k", metavar="SPEC", help="A mask by construction, as in sink-window:sinks=4,window=16."
    ),
    kinds: bool = typer.Option(False, "--kinds", help="List the kinds of masks with their parameters, and leave."),
    model: str | None = typer.Option(
        None, "--model", "-m", help="Attention of a model: offline:NAME, a hub name, or a folder."
    ),
    text: str | None = typer.Option(None, help="What the model reads; the source of an encoder-decoder model."),
    target: str | None = typer.Option(None, help="The translation, for an encoder-decoder model."),
    part: str | None = typer.Option(
        None, "--attention", help="Of an encoder-decoder model: encoder-self, cross or decoder-self."
    ),
    layer: int | None = typer.Option(None, min=1, help="Layer, counted from 1."),
    head: int | None = typer.Option(None, min=1, help="Head, counted from 1."),
    best: str | None = typer.Option(
        None, metavar="KIND", help="In place of layer and head: of all heads the one that this kind explains best."
    ),
    mass: float | None = typer.Option(
        None, help=f"A query attends to the fewest keys with this share of its weight. Default {DEFAULT_MASS}."
    ),
    weight: float | None = typer.Option(None, help="A query attends to the keys of this weight or more."),
    n: int | None = typer.Option(
        None, "--n", min=2, help=f"Context length. Default {DEFAULT_LENGTH}; of a model's text all its sub-words."
    ),
    noise: float = typer.Option(
        0.0, help="Flip each cell with this probability; of a causal mask, those on and under the diagonal."
    ),
    seed: int = typer.Option(12345, min=0, help="Seed of the noise."),
    title: str | None = typer.Option(None, help="Above the map; by default what it was drawn from."),
    languages: options.Languages,
    files: options.FigureFiles,
    loading: options.Loading,
) -> None:
    """Draw a context pattern: a mask by construction (--kind), or a head's attention, binarised (--model).

    The summary names the kind of mask that explains the pattern best, with its parameters, against all kinds.
    """
    if kinds:
        sys.stdout.write(_listing())
        return
    files.check()
    if (kind is None) == (model is None):
        raise typer.BadParameter("give either --kind or --model")
    if not 0 <= noise <= 1:
        raise typer.BadParameter("a share from 0 to 1", param_hint="--noise")
    if kind is not None:
        from align_eval.patterns import make_mask_kind

        made, size = make_mask_kind(kind), DEFAULT_LENGTH if n is None else n
        quantity = "which query (row) attends to which key (column), by construction"
        drawn = _Drawn(made(size), None, made.describe(), quantity, {"mask": made.spec, "n": size})
    else:
        if text is None or (best is None) == (layer is None or head is None):
            raise typer.BadParameter("--model needs --text, and either --layer and --head, or --best KIND")
        if mass is not None and weight is not None:
            raise typer.BadParameter("give either --mass or --weight")
        from align_eval.patterns.attention import text_attention

        loaded = loading.load(str(model), **vars(languages))
        attention = text_attention(
            loaded, text, layers=None if layer is None else [layer], target=target, part=part, tokens=n
        )
        rule = {"weight": weight} if weight is not None else {"mass": DEFAULT_MASS if mass is None else mass}
        drawn = _of_head(attention, layer, head, best, rule)
        drawn.subject.update({"text": text} | ({} if target is None else {"target": target}))
    if noise:
        import numpy as np

        from align_eval.patterns import flipped

        causal = drawn.causal or not bool(np.triu(drawn.cells, 1).any())
        drawn = drawn._replace(
            cells=flipped(drawn.cells, noise, np.random.default_rng(seed), causal=causal), strongest=(),
            quantity=f"{drawn.quantity}; cells flipped at random",
            subject={**drawn.subject, "flip rate": noise, "seed": seed},
        )  # fmt: skip
    _finish(drawn, drawn.heading if title is None else title, files)


class _Drawn(NamedTuple):
    """A pattern, and what is said of where it comes from."""

    cells: BoolArray
    causal: bool | None
    heading: str
    quantity: str
    subject: dict[str, Any]
    labels: tuple[str, str] = ("Context Length", "Context Length")
    strongest: tuple[Cell, ...] = ()
    keys: tuple[str, ...] | None = None


def _of_head(
    attention: TextAttention, layer: int | None, head: int | None, best: str | None, rule: dict[str, float]
) -> _Drawn:
    from align_eval.patterns import MASK_KINDS, binarise
    from align_eval.patterns.attention import clearest
    from align_eval.report.pattern import strongest_cells

    chosen = "as asked for"
    if best is not None:
        kind = MASK_KINDS.canonical(best)
        pick = clearest(attention, kind, **rule)
        layer, head = pick.layer, pick.head
        total = attention.values.shape[0] * attention.values.shape[1]
        chosen = f"of {total} heads, among those best explained by {kind} the one whose description it shortens most"
    assert layer is not None
    assert head is not None
    weights = attention.head(layer, head)
    ((name, value),) = rule.items()
    by = f"fewest keys that carry {value:.0%} of the weight" if name == "mass" else f"weight {value:g} or more"
    subject = {
        "model": attention.model, "layer": layer, "head": head, "chosen": chosen, "binarised": by,
        "sub-words read": f"{attention.read} of {attention.of}",
    }  # fmt: skip
    square = ("Context Length", "Context Length")
    return _Drawn(
        binarise(weights, **rule),
        attention.causal if attention.square else None,
        f"{attention.model}, layer {layer}, head {head}",
        f"{attention.kind} attention of one head, binarised: {by}",
        subject,
        square if attention.square else ("Source sub-words", "Target sub-words"),
        tuple(strongest_cells(weights, attention.queries, attention.keys, layer=layer, head=head)),
        attention.keys,
    )


def _finish(drawn: _Drawn, title: str, files: options.FigureFiles) -> None:
    from align_eval.patterns import detect
    from align_eval.report.pattern import summarise_pattern

    square = drawn.cells.shape[0] == drawn.cells.shape[1] and drawn.labels[0] == drawn.labels[1]
    found = detect(drawn.cells, causal=drawn.causal or None) if square else None
    summary = summarise_pattern(
        drawn.cells, found, quantity=drawn.quantity, subject=drawn.subject, strongest=drawn.strongest, keys=drawn.keys
    )

    def draw() -> Any:
        from align_eval.figures.pattern import context_pattern

        return context_pattern(drawn.cells, title=title, x_label=drawn.labels[0], y_label=drawn.labels[1])

    files.finish(draw, summary)


def _listing() -> str:
    """The kinds of masks with their parameters, as text."""
    from align_eval.patterns import MASK_KINDS
    from align_eval.patterns.base import written

    lines = []
    for name, kind in MASK_KINDS.items():
        lines.append(f"{name}: {kind.about}")
        for key, option in kind.options.items():
            lines.append(f"    {key}={written(option.default) or 'none'}  {option.help}")
    return "\n".join(lines) + "\n"
