"""The precision ``int16``: products of an encoder's blocks in 16-bit integers, on x86 processors with AVX2.

There one instruction multiplies sixteen pairs of 16-bit integers, where eight of float32 fit: twice the products in the
same time, and vectors differ by about a thousandth, so that hardly a link changes. No calibration: a sub-word's inputs
have a scale of their own, its greatest absolute value, and weights one for each output. Sums are exact, in 32 bits;
weights are rounded so that none of them can overflow (:func:`pack`).

Weights of extreme sizes leave no room for the small ones beside them. So the states of a
model are compared with those in float32 before they are first used, on tokens from all over its vocabulary.

Embeddings, norms, GELU, softmax, the attention's own products, residual sums and the similarity stay in float32,
computed as in :mod:`align_eval.models.cpu.compiled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models.adapters.bert import KINDS
from align_eval.models.cpu.compiled import OUTPUTS, CompiledBlocks, Floats, Modules, Packed
from align_eval.models.cpu.fused import HEAD, functions
from align_eval.models.cpu.unpadded import embedded, stacked

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder

PRECISIONS = ("int16",)
#: Greatest rounded input, as in ``integers.c``.
TOP = 8191
#: How far the vector of a token may be from that of float32, as a part of its length. In e5-small it is 0.0035 at most.
FARTHEST = 0.02
_SUM = 2**31 - 1


def check_precision(name: str | None, dtype: str, device: Any) -> None:
    """Check a precision, the number type and the device that are asked for; no model is needed for that.

    Raises:
        UnknownNameError: no such precision.
        InputError: another number type or a device that is no CPU is asked for as well.
        ModelError: the compiled functions are missing, or the processor has no AVX2.
    """
    if name not in PRECISIONS:
        raise UnknownNameError("precision", str(name), PRECISIONS)
    if dtype != "float32":
        raise InputError(f"precision {name} and dtype {dtype} exclude each other", remedy="Leave out one of them")
    if str(device).partition(":")[0] != "cpu":
        raise InputError(
            f"precision {name} is computed on the CPU, not on {device}",
            remedy="Use dtype bfloat16 or float16 there, or the device cpu",
        )
    if functions() is None:
        raise ModelError(
            f"precision {name} needs the compiled functions and a processor with AVX2",
            remedy="python -m align_eval.native compiles them and says what is missing; or leave out the precision",
        )


def pack(weight: Tensor) -> Packed:
    """Round weights ``(out, in)``, multiples of 16 and of 2, output by output, as finely as the sum of products allows.

    With ``|x_j| <= 8191`` a sum of ``x_j w_j`` is at most 8191 times the sum of ``|w_j|``: the scale of an output makes
    this less than 2^31, the rounding of each weight (by up to a half) taken into account.
    """
    outputs, inputs = weight.shape
    exact = weight.detach().cpu().double()
    sizes = exact.abs()
    scales = torch.maximum(sizes.sum(dim=1) / (_SUM // TOP - inputs / 2), sizes.amax(dim=1) / 32767)
    scales = scales.clamp_min(1e-30).float()
    integers = (exact / scales.cpu().double()[:, None]).round().to(torch.int16)
    turned = integers.view(outputs // OUTPUTS, OUTPUTS, inputs // 2, 2).transpose(1, 2)
    return Packed(inputs, outputs, turned.contiguous(), scales)


class Integers:
    """Products in 16-bit integers (``integers.c``)."""

    name = kind = "int16"
    pack = staticmethod(pack)


class Int16States:
    """The hidden states of an encoder of the BERT kind; called as ``PackedStates`` is.

    Raises:
        ModelError: the model is not of the BERT kind, computes something else than the names of its modules say, or has
            widths that the compiled functions do not take; and what :func:`check_precision` raises.
    """

    def __init__(self, encoder: Encoder) -> None:
        check_precision(encoder.precision, str(encoder.dtype).removeprefix("torch."), encoder.device)
        self.model: Any = encoder.model
        self.name = encoder.name
        self.blocks = _blocks(encoder)
        self.checked = 0
        self.modules = Modules(encoder.model)

    def __call__(self, runs: Sequence[Tensor], layers: Sequence[int]) -> Tensor:
        """As :class:`align_eval.models.cpu.unpadded.PackedStates`; integers too coarse for the weights are refused."""
        if max(layers) > self.checked:
            self._check_vectors(max(layers))
        return stacked(self.blocks(embedded(self.model, runs), [tuple(ids.shape) for ids in runs], layers))

    def current(self) -> bool:
        """True: the modules still are those that were read, else refused. Weights that were changed are read again."""
        if self.blocks.refresh():
            self.checked = 0
        if self.modules.changed():
            raise ModelError(
                "the model was changed after its blocks were read for the precision int16",
                remedy="Load the changed model with this precision, or compute without it",
            )
        return True

    def _check_vectors(self, deepest: int) -> None:
        """Refuse vectors of the layers up to ``deepest`` further than ``FARTHEST`` from those in float32."""
        ids = _probe_ids(int(self.model.config.vocab_size), int(self.model.config.max_position_embeddings) - 2)
        layers = range(1, deepest + 1)
        floats = CompiledBlocks(self.blocks.blocks, self.blocks.heads, Floats(), self.blocks.compiled)
        with torch.inference_mode():
            x = embedded(self.model, [ids])
            exact, rounded = (blocks(x, [tuple(ids.shape)], layers) for blocks in (floats, self.blocks))
        for layer, a, b in zip(layers, exact, rounded, strict=True):
            apart = float(((a - b).norm(dim=1) / a.norm(dim=1).clamp_min(1e-30)).max())
            if not apart <= FARTHEST and bool(torch.isfinite(b).all()):  # what is not finite is told by its sentence
                raise ModelError(
                    f"precision int16 is too coarse for the weights of {self.name}: at layer {layer} a vector differs "
                    f"from that in float32 by {apart:.1%} of its length (at most {FARTHEST:.0%})",
                    remedy="Leave out the precision",
                )
        self.checked = deepest


def _probe_ids(vocabulary: int, longest: int) -> Tensor:
    """Four sentences of up to 32 tokens from all over a vocabulary: ``(4, T)`` int64."""
    ids = torch.arange(128, device="cpu").mul(2654435761).remainder(vocabulary).view(4, 32)
    return ids[:, : min(32, longest)]


def _blocks(encoder: Encoder) -> CompiledBlocks:
    """The blocks of an encoder, read by the names of BERT's modules and compared with the model on a few sub-words."""
    model: Any = encoder.model
    config, remedy = model.config, "Leave out the precision; dtype bfloat16 works with every model"
    for what, odd in (
        (f"is a {config.model_type} model", not encoder.adapter.bert_blocks),
        (f"has the activation {getattr(config, 'hidden_act', None)}", getattr(config, "hidden_act", "") != "gelu"),
        ("is a decoder", bool(getattr(config, "is_decoder", False))),
    ):
        if odd:
            raise ModelError(
                f"{encoder.name} {what}: precision int16 takes {', '.join(sorted(KINDS))} with GELU", remedy=remedy
            )
    try:
        layers = list(model.encoder.layer)
        made = CompiledBlocks.of(layers, encoder.heads, Integers())
        floats = CompiledBlocks.of(layers, encoder.heads, Floats())
        inner, width = layers[0].intermediate.dense.weight.shape
        same = made is None or floats is None or (len(layers) == encoder.layers and _agree(model, floats))
    except (AttributeError, TypeError, RuntimeError) as error:
        raise ModelError(f"the blocks of {encoder.name} are not those of BERT: {error}", remedy=remedy) from error
    if made is None or floats is None:
        raise ModelError(
            f"precision int16: {encoder.name} has heads of {width // encoder.heads} and an inner width of {inner}; "
            f"they have to be multiples of {HEAD} and {OUTPUTS}, and its products have biases",
            remedy=remedy,
        )
    if not same:
        raise ModelError(f"the blocks of {encoder.name} compute something else than those of BERT", remedy=remedy)
    return made


def _agree(model: Any, blocks: CompiledBlocks) -> bool:
    """Whether what was read gives, in float32, the model's own states on a few sub-words."""
    ids = torch.arange(5, 13, device="cpu").remainder(int(model.config.vocab_size))[None, :]
    with torch.inference_mode():
        own = model(input_ids=ids, output_hidden_states=True).hidden_states
        found = blocks(embedded(model, [ids]), [(1, ids.shape[1])], range(1, len(blocks.blocks) + 1))
    return len(own) == len(found) + 1 and all(
        torch.allclose(a[0], b, rtol=1e-3, atol=1e-4) for a, b in zip(own[1:], found, strict=True)
    )
