"""Hidden states of sentences laid end to end: no padding is computed, whatever their lengths are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, UnknownNameError
from align_eval.models.adapters import adapter_of
from align_eval.models.cpu.compiled import CompiledBlocks, Floats
from align_eval.models.cpu.fused import FusedBlocks
from align_eval.models.hidden_states import HiddenStates
from align_eval.models.unchanged import Modules

if TYPE_CHECKING:
    import torch


class PackedStates:
    """The hidden states of a BERT-like encoder on a CPU, for sentences that lie one after the other.

    Everything but the attention works on one sub-word at a time, so it is computed for all sub-words of a batch in one
    matrix of products; only the attention goes sentence by sentence, those of one length together. The modules are the
    model's own. Made by :meth:`of`.

    On one thread, as batches side by side are computed, blocks go through :mod:`align_eval.models.cpu.compiled` or
    :mod:`align_eval.models.cpu.fused`, whichever is quicker here (:func:`by_compiled`).
    """

    def __init__(self, states: HiddenStates) -> None:
        self.model = states.model
        blocks: Any = states.blocks
        self.blocks = blocks
        self.heads = int(states.model.config.num_attention_heads)
        self.gelu = getattr(states.model.config, "hidden_act", None) == "gelu"
        self.fused = _one_thread(list(blocks), self.heads) if self.gelu else None
        self.modules = Modules(states.model)

    @classmethod
    def of(cls, states: HiddenStates) -> PackedStates | None:
        """The packed form of a model; ``None``: it is no model of that kind, or it computes something else."""
        config = states.model.config
        if states.blocks is None or not adapter_of(config).bert_blocks or getattr(config, "is_decoder", False):
            return None
        if next(states.model.parameters()).device.type != "cpu":
            return None
        try:
            made = cls(states)
            return made if made._agrees(states) else None
        except (AttributeError, RuntimeError, TypeError):
            return None

    def __call__(self, runs: Sequence[torch.Tensor], layers: Sequence[int]) -> torch.Tensor:
        """The states of ``layers`` (0: embeddings, ``k``: output of block ``k``) in the order asked for.

        Args:
            runs: ids ``(B, T)`` of sentences of one length, special sub-words included; several such lengths.

        Returns:
            ``(len(layers), sum of B x T, width)``: the sub-words of the first run sentence by sentence, and so on.
        """
        import torch

        x, shapes = self._embedded(runs), [tuple(ids.shape) for ids in runs]
        if self.fused is not None and torch.get_num_threads() == 1 and x.dtype == torch.float32:
            return self._stacked(self.fused(x, shapes, layers))
        taken = {0: x}
        for number, block in enumerate(self.blocks[: max(layers)], start=1):
            x = self._block(block, x, shapes)
            if number in layers:
                taken[number] = x
        return self._stacked([taken[layer] for layer in layers])

    def current(self) -> bool:
        """Whether the model still is the one that was looked at; weights that were changed are read again."""
        if isinstance(self.fused, CompiledBlocks):
            self.fused.refresh()
        return not self.modules.changed()

    def _block(self, block: Any, x: torch.Tensor, shapes: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """One block: ``(N, width)`` in and out; ``shapes``: sentences and their length, by run."""
        own = block.attention.self
        return self.rest(block, self.mix([layer(x) for layer in (own.query, own.key, own.value)], shapes), x)

    def mix(self, projected: Sequence[torch.Tensor], shapes: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """The attention's weighted sums, heads side by side, ``(N, width)``, sentences of one length together.

        Args:
            projected: queries, keys and values, each ``(N, width)``.
            shapes: sentences and their length, by run.
        """
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        mixed = torch.empty_like(projected[0])
        start = 0
        for sentences, length in shapes:
            end = start + sentences * length
            parts = [p[start:end].view(sentences, length, self.heads, -1).transpose(1, 2) for p in projected]
            found = scaled_dot_product_attention(*parts)  # (B, heads, T, width / heads)
            mixed[start:end].view(sentences, length, self.heads, -1).copy_(found.transpose(1, 2))
            start = end
        return mixed

    def rest(self, block: Any, mixed: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What follows the attention in a block, each sub-word by itself; what is read once more is not copied.

        Args:
            mixed: ``(N, width)``, the weighted sums of the attention, heads side by side.
            x: ``(N, width)``, the input of the block.
        """
        import torch

        x = block.attention.output.LayerNorm(block.attention.output.dense(mixed).add_(x))
        inner = block.intermediate.dense(x)
        inner = torch.ops.aten.gelu_(inner) if self.gelu else block.intermediate.intermediate_act_fn(inner)
        out: torch.Tensor = block.output.LayerNorm(block.output.dense(inner).add_(x))
        return out

    def _agrees(self, states: HiddenStates) -> bool:
        """Whether sentences of different length get the states that the model gives to each of them by itself."""
        import torch

        size = int(self.model.config.vocab_size)
        runs = [
            torch.arange(5, 5 + n, device="cpu").remainder(size).reshape(shape)
            for n, shape in ((8, (2, 4)), (3, (1, 3)))
        ]
        layers = range(states.layers + 1)
        half = next(self.model.parameters()).dtype in (torch.float16, torch.bfloat16)
        near = 0.1 if half else 1e-4
        with torch.inference_mode():
            alone = torch.cat([torch.stack(states(ids, None, layers)).flatten(1, 2) for ids in runs], dim=1)
            if self.fused is not None:
                found = self._stacked(self.fused(self._embedded(runs), [tuple(ids.shape) for ids in runs], layers))
                if not bool((found - alone).abs().max() <= near):
                    self.fused = None
                elif isinstance(self.fused, CompiledBlocks):
                    self.fused.forget()  # perhaps not all blocks will be asked for
            kept, self.fused = self.fused, None
            found, self.fused = self(runs, layers), kept
        return bool((found - alone).abs().max() <= near)

    def _embedded(self, runs: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch

        return torch.cat([self.model.embeddings(input_ids=ids).flatten(0, 1) for ids in runs])

    @staticmethod
    def _stacked(states: Sequence[torch.Tensor]) -> torch.Tensor:
        """``(layers, N, width)``; one layer is not copied."""
        import torch

        return torch.stack([*states]) if len(states) > 1 else states[0][None]


def _one_thread(blocks: Sequence[Any], heads: int) -> CompiledBlocks | FusedBlocks | None:
    """The blocks by compiled functions, as is quicker here; ``None`` where nothing is compiled or shapes do not fit."""
    compiled = CompiledBlocks.of(blocks, heads, Floats()) if by_compiled() else None
    return compiled or FusedBlocks.of(blocks, heads)


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Sentences in batches of at most ``budget`` sub-words, longest first; equal lengths stay together in order.

    Args:
        lengths: sub-words of each sentence, special ones counted.
        budget: sub-words in a batch. A longer sentence is a batch of its own.

    Raises:
        InputError: the budget is not positive.

    >>> pack([3, 9, 4, 4], 11)
    [[1], [2, 3, 0]]
    """
    if budget < 1:
        raise InputError(f"the token budget is {budget}", remedy="Give a positive number of sub-words")
    batches: list[list[int]] = []
    held = 0
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        if not batches or held + lengths[k] > budget:
            batches.append([])
            held = 0
        batches[-1].append(k)
        held += lengths[k]
    return batches


def runs_of(batch: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """The sentences of a batch of :func:`pack`, those of one length together."""
    return [list(run) for _, run in groupby(batch, key=lambda k: lengths[k])]


# On processors whose widest instructions are AVX2 blocks by compiled functions alone are quicker than with torch
# (results/bench/efficiency.md, Forms); wider ones the compiled functions do not use. The rule goes by the processor,
# not by a measurement at run time: the same machine computes the same numbers in every run.
#: In the environment: ``torch`` or ``compiled``, whatever the processor.
VARIABLE = "ALIGN_EVAL_PRODUCTS"
CHOICES = ("auto", "torch", "compiled")


def by_compiled() -> bool:
    """Whether blocks in float32 are computed by the compiled functions alone, where there are any.

    Raises:
        UnknownNameError: the environment names another choice.
    """
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in CHOICES:
        raise UnknownNameError(f"choice in {VARIABLE}", asked, CHOICES)
    if asked != "auto":
        return asked == "compiled"
    import torch

    return torch.backends.cpu.get_cpu_capability() == "AVX2"
