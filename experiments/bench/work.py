"""The floating-point work that sentences need, and what systems have a model compute for them.

``2 x (4 d^2 + 2 d f)`` for the products with weights of one sub-word in one block (width d, inner width f), and
``4 d T^2`` for the scores and the weighted sums of the attention of a sentence of T sub-words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import systems
from systems import LAYER, SETS


def work(encoder: Any, ids: Sequence[Any]) -> float:
    """The work in GFLOP that the distinct sentences among ``ids`` need up to the layer used."""
    around = len(encoder.prefix) + len(encoder.suffix)
    lengths = [len(sentence) + around for sentence in {bytes(s): s for s in ids}.values()]
    return gflop(encoder, sum(lengths), sum(length**2 for length in lengths))


def gflop(encoder: Any, rows: float, squares: float, layers: int = LAYER) -> float:
    """Work in GFLOP: ``rows`` sub-words, and ``squares`` cells of attention maps, in each of the layers."""
    config = encoder.model.config
    width, inner = config.hidden_size, config.intermediate_size
    return 1e-9 * layers * (2 * (4 * width**2 + 2 * width * inner) * rows + 4 * width * squares)


def work_of_systems(encoder: Any, limit: int | None) -> list[dict[str, Any]]:
    """What each system has the model compute on each set: padding, repeated sentences and unused layers included."""
    rows = []
    around = len(encoder.prefix) + len(encoder.suffix)
    for name in SETS:
        text = systems.load_set(name, limit)
        needed = work(encoder, tokenized(encoder, text.pairs))
        sides = [
            [len(ids) + around for ids in encoder.tokenize([getattr(pair, side) for pair in text.pairs]).ids]
            for side in ("source", "target")
        ]
        batched = [side[k : k + 32] for side in sides for k in range(0, len(side), 32)]
        paired = [list(pair) for pair in zip(*sides, strict=True)]
        for system, batches, layers in (
            ("what the sub-words need", None, LAYER),
            ("awesome-align: batches of 32 as they come", batched, LAYER),
            ("simalign: pair by pair, all layers", paired, encoder.layers),
        ):
            done = needed
            if batches is not None:
                sizes = [(len(batch), max(batch)) for batch in batches]
                done = gflop(encoder, sum(n * t for n, t in sizes), sum(n * t * t for n, t in sizes), layers)
            rows.append({"set": name, "system": system, "gflop": done, "times": done / needed})
    return rows


def tokenized(encoder: Any, pairs: Sequence[Any]) -> list[Any]:
    """The ids of both sides of each pair."""
    found: list[Any] = encoder.tokenize([side for pair in pairs for side in (pair.source, pair.target)]).ids
    return found
