"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Literal

import typer

from align_eval.shown import shown

Subword = Literal["any", "mean"]
"""How subwords become words."""


OnLong = Literal["window", "raise", "leave"]
"""What is done with sentences longer than the model's window."""


OnLongPair = Literal["leave", "raise"]
"""What is done with pairs longer than the model's window, where there are no windows."""


Dtype = Literal["float32", "float16", "bfloat16", "float64"]
"""Number types of a model."""


DEFAULT_MODEL = "offline:e5-small"

MODEL = typer.Option(
    DEFAULT_MODEL, "--model", "-m", help="offline:NAME (align-eval models list), a hub name, or a folder."
)
METHOD_HELP = (
    "argmax (mutual), forward, reverse, itermax, match, softmax, entmax, transport; options after a colon, as in "
    "softmax:threshold=0.01; simalign:itermax runs the simalign package; eflomal, fast_align, ibm1..ibm4 and hmm need "
    "no model, as in eflomal:train=FILE."
)
SUBWORD = typer.Option(
    "any", help="any: words are linked if any of their subwords are; mean: mean vector of a word's subwords."
)
ON_LONG = typer.Option(
    "window",
    help="Pairs over the model's window: align them in overlapping windows, fail, or leave them without links; told on "
    "stderr.",
)
ON_LONG_PAIR = typer.Option(
    "leave", "--on-long", help="Pairs over the model's window: leave them out, counted on stderr, or fail."
)
DEVICE = typer.Option("auto", help="Where the model runs: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.")
DTYPE = typer.Option("float32", help="Number type of the model.")
PRECISION = typer.Option(None, help="int16: an encoder's products in 16-bit integers, faster on a CPU with AVX2.")
REVISION = typer.Option(None, help="Revision of a hub model: a commit, tag or branch.")
TRUST = typer.Option(False, "--trust-remote-code", help="Run code that comes with a hub model. Off unless you ask.")
RESAMPLES = typer.Option(1000, min=0, help="Resamples of intervals and tests; 0: none of them.")
SEED = typer.Option(12345, min=0, help="Seed of the resamples.")
ALPHA = typer.Option(0.5, min=0, max=1, help="Weight of precision in F_alpha.")
CONFIDENCE = typer.Option(0.95, help="Level of the intervals, between 0 and 1.")
JSON = typer.Option(False, "--json", help="Print JSON to standard output, and nothing else.")
BATCH_TOKENS = typer.Option(
    None,
    min=1,
    help="Padded tokens in one batch of the model; by default 2048 on a CPU, on a GPU what its memory takes.",
)


def parse_layers(text: str, available: int) -> list[int]:
    """Layers from ``7``, ``5-8``, ``1,3,5-8`` or ``all`` (1 to the last).

    Raises:
        typer.BadParameter: anything else.

    >>> parse_layers("1,3-5", 12)
    [1, 3, 4, 5]
    """
    if text.strip() == "all":
        return list(range(1, available + 1))
    layers: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or (dash and int(high) < int(low)):
            raise typer.BadParameter(f"{text!r} is not a list of layers: write 7, 5-8, 1,3,5-8 or all")
        layers.extend(range(int(low), int(high or low) + 1))
    return list(dict.fromkeys(layers))


def print_json(data: object) -> None:
    """Print plain data as JSON."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> None:
    """Print rows of texts as columns; those numbered in ``right`` are set right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(width) if k in right else text.ljust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo(shown("  ".join(cells).rstrip()))
