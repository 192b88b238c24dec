"""Forced decoding written a second time, through ``inputs_embeds``, to test the signals against."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from align_eval.attribution.collect import attention_maps
from align_eval.attribution.predictions import Prediction, log_probability, logits_of
from align_eval.corpora import SentencePair
from align_eval.models.double import keep_double
from align_eval.models.pairs import Layout, PairModel
from tests.models import families

PAIR = SentencePair("1", ("das", "Haus", "und"), ("a", "house"))
KINDS = ("marian", "bart", "gpt2", "llama")


@functools.cache
def double(kind: str, layers: int = 2) -> Any:
    """A tiny model in float64."""
    return families.build(kind, dtype="float64", layers=layers)


def forced(reader: PairModel, pair: SentencePair = PAIR) -> tuple[Layout, Tensor, Callable[[Tensor], Tensor]]:
    """The layout, the embeddings ``(K, d)`` of what is read first, and log p of all predicted sub-words by them.

    The predictions are in the order of the rows of the reading ``awo``.
    """
    (layout,) = reader.lay_out([pair])
    ids = torch.from_numpy(layout.inputs[0])
    model = reader.model
    stack = model.get_encoder() if reader.family == "seq2seq" else model
    embeddings = stack.get_input_embeddings()(ids).detach()

    def log_p(given: Tensor) -> Tensor:
        with keep_double(reader.dtype):
            if reader.family == "seq2seq":
                base = getattr(reader, "reader", reader)
                inputs, _ = base.decoder_inputs([layout])
                logits = model(inputs_embeds=given[None], decoder_input_ids=inputs, use_cache=False).logits[0]
                tokens = torch.from_numpy(layout.inputs[1])
                rows = torch.arange(len(tokens))
            else:
                logits = model(inputs_embeds=given[None], use_cache=False).logits[0]
                rows = torch.from_numpy(layout.blocks["awi"][0].rows) - 1
                tokens = ids[rows + 1]
            return torch.stack(
                [logits[r][t] - logits[r].logsumexp(0) for r, t in zip(rows.tolist(), tokens.tolist(), strict=True)]
            )

    return layout, embeddings, log_p


def jacobian(log_p: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """d log p / d e, ``(n, K, d)``, a row at a time."""
    point = at.clone().requires_grad_()
    with torch.enable_grad():
        scores = log_p(point)
        return torch.stack([torch.autograd.grad(score, point, retain_graph=True)[0] for score in scores])


def log_probabilities(reader: Any, steps: Sequence[Prediction]) -> Tensor:
    """log p of each step's token, ``(R,)``; one forward pass, gradients as the caller has set them."""
    logits = logits_of(reader.reader, [step.layout for step in steps])
    rows, tokens = torch.tensor([step.row for step in steps]), torch.tensor([step.token for step in steps])
    return log_probability(logits[torch.arange(len(steps)), rows], tokens)


def only_map(reader: PairModel, pair: SentencePair = PAIR, reading: str | None = None) -> Tensor:
    """The one map ``(Q, K)`` of a signal that has one."""
    (maps,) = attention_maps(reader, [pair], reading=reading)
    assert maps.by_head().shape[:2] == (1, 1)
    return maps.by_head()[0, 0]


def require_batched_is_single(reader: PairModel, tolerance: float = 1e-9) -> None:
    """The maps of several pairs together are those of each alone, whatever the budget."""
    some = [families.pairs()[k] for k in (0, 2, 3)]
    together = attention_maps(reader, some)
    for budget, pairs in ((2048, some[:2]), (1, some[2:])):
        reader.token_budget = budget  # type: ignore[attr-defined]
        for pair in pairs:
            maps = together[some.index(pair)]
            (alone,) = attention_maps(reader, [pair])
            assert maps.queries.units(0) == alone.queries.units(0)
            assert float((maps.by_head() - alone.by_head()).abs().max()) < tolerance


def require_nothing_after(reader: PairModel) -> None:
    """Of a decoder-only model no prediction owes anything to its own sub-word or to what follows."""
    for pair in (PAIR, families.pairs()[3]):
        (layout,) = reader.lay_out([pair])
        (maps,) = attention_maps(reader, [pair])
        for values, row in zip(maps.by_head().flatten(0, 1).transpose(0, 1), layout.blocks["awo"][0].rows, strict=True):
            assert float(values[:, row + 1 :].abs().max()) == 0
            assert float(values[:, : row + 1].abs().max()) > 0
