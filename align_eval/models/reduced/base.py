"""What all reduced forms share: the interface of hidden states, and what a model must be for it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from align_eval.errors import InputError, ModelError
from align_eval.models.unchanged import Modules, Weights
from align_eval.registry import Registry

if TYPE_CHECKING:
    import torch

    from align_eval.models.encoder import Encoder


class ReducedStates(ABC):
    """The hidden states of an encoder by layer, computed in a reduced form; called as ``HiddenStates`` is.

    The embeddings (layer 0) are the model's own, in float32.

    Args:
        encoder: the encoder, loaded in float32 on the CPU.

    Raises:
        ModelError: the processor lacks what the form needs, a package is not installed, or the model is not of the
            BERT kind.
    """

    name: ClassVar[str] = ""
    #: Whether :meth:`end_to_end` computes sentences without padding.
    unpadded: ClassVar[bool] = False

    def __init__(self, encoder: Encoder) -> None:
        from align_eval.models.reduced.blocks import read_blocks

        self.require()
        self.model: Any = encoder.model
        self.heads = encoder.heads
        self.blocks = read_blocks(encoder)
        self.modules, self.weights = Modules(encoder.model), Weights(encoder.model.parameters())
        self._lock = threading.Lock()

    @classmethod
    @abstractmethod
    def require(cls) -> None:
        """Check processor and packages.

        Raises:
            ModelError: what is missing, and what to do.
        """

    @abstractmethod
    def run(self, embedded: torch.Tensor, mask: torch.Tensor | None, layers: Sequence[int]) -> list[torch.Tensor]:
        """The states of ``layers``, distinct, ascending and positive, each ``(B, T, width)`` in float32.

        Args:
            embedded: ``(B, T, width)``, layer 0, float32.
            mask: ``(B, T)``, 1 for sub-words and 0 for padding; ``None``: no padding.
        """

    def current(self) -> bool:
        """True: the model still is the one that was converted.

        Raises:
            ModelError: weights or modules are others now.
        """
        if self.modules.changed() or self.weights.changed():
            raise ModelError(
                f"the model was changed after its weights were converted to {self.name}",
                remedy="Load the changed model with this precision, or compute without it",
            )
        return True

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None, layers: Sequence[int]) -> list[torch.Tensor]:
        """The states of ``layers`` (0 to the last), each ``(B, T, width)``, in the order asked for.

        Args:
            ids: ``(B, T)``.
            mask: ``(B, T)``, 1 for sub-words and 0 for padding; ``None``: no padding.
        """
        embedded = self.model.embeddings(input_ids=ids)
        wanted = sorted({layer for layer in layers if layer})
        states = {0: embedded}
        if wanted:
            with self._lock:
                states.update(zip(wanted, self.run(embedded, mask, wanted), strict=True))
        return [states[layer] for layer in layers]

    def end_to_end(self, runs: Sequence[torch.Tensor], layers: Sequence[int]) -> torch.Tensor:
        """The states of sentences without padding, as :class:`align_eval.models.packed.PackedStates` gives them.

        Args:
            runs: ids ``(B, T)`` of sentences of one length; several such lengths.

        Returns:
            ``(len(layers), sum of B x T, width)`` in the order of ``layers``.
        """
        import torch

        embedded = torch.cat([self.model.embeddings(input_ids=ids).flatten(0, 1) for ids in runs])
        wanted = sorted({layer for layer in layers if layer})
        states = {0: embedded}
        if wanted:
            shapes = [(int(ids.shape[0]), int(ids.shape[1])) for ids in runs]
            states.update(zip(wanted, self.run_unpadded(embedded, shapes, wanted), strict=True))
        return torch.stack([states[layer] for layer in layers]) if len(layers) > 1 else states[layers[0]][None]

    def run_unpadded(
        self, embedded: torch.Tensor, shapes: Sequence[tuple[int, int]], layers: Sequence[int]
    ) -> list[torch.Tensor]:
        """The states of ``layers``, distinct, ascending and positive, each ``(N, width)`` in float32.

        Args:
            embedded: ``(N, width)``, layer 0 of sentences one after the other, float32.
            shapes: sentences and their length, by run.
        """
        from align_eval.models.reduced.blocks import run_unpadded

        return run_unpadded(self.blocks, self.heads, embedded, shapes, layers)


PRECISIONS: Registry[type[ReducedStates]] = Registry("precision", "align_eval.models.reduced")


def check_precision(name: str, dtype: str, device: Any) -> None:
    """Check what is asked for before a model is loaded.

    Args:
        name: of the form; ``dtype``: asked for beside it; ``device``: of torch.

    Raises:
        UnknownNameError: no such form.
        InputError: another number type or a device that is no CPU is asked for as well.
        ModelError: the processor or an installed package is missing.
    """
    form = PRECISIONS.get(name)
    if dtype != "float32":
        raise InputError(f"precision {name} and dtype {dtype} exclude each other", remedy="Leave out one of them")
    if str(device).partition(":")[0] != "cpu":
        raise InputError(
            f"precision {name} is computed on the CPU, not on {device}",
            remedy="Use dtype bfloat16 or float16 there, or the device cpu",
        )
    form.require()


def require_int8(name: str) -> None:
    """Raise :class:`ModelError` where 8-bit products are summed in 16 bits: x86 without AVX512_VNNI, AVX_VNNI and AMX.

    Two products of an unsigned and a signed byte then overflow (``vpmaddubsw`` saturates), and vectors go astray.
    """
    import torch

    tell = getattr(torch.cpu, "get_capabilities", None)
    known = {} if tell is None else tell()
    if "avx2" not in known or any(known.get(unit) for unit in ("avx512_vnni", "avx_vnni", "amx_int8")):
        return
    raise ModelError(
        f"precision {name}: this processor sums 8-bit products in 16 bits (no AVX512_VNNI, AVX_VNNI or AMX), where "
        "they overflow",
        remedy="Leave out the precision",
    )


def require_bfloat16(name: str) -> None:
    """Raise :class:`ModelError` unless this processor multiplies bfloat16 numbers itself (AMX, AVX512_BF16, ARM)."""
    import torch

    told = [getattr(torch.cpu, f"_is_{kind}_supported", None) for kind in ("amx_tile", "avx512_bf16", "arm_bf16")]
    device_tells = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_device_supported", None)
    if any(bool(ask()) for ask in told if ask is not None) or (device_tells is not None and device_tells("cpu")):
        return
    raise ModelError(
        f"precision {name}: this processor has no bfloat16 products (AMX or AVX512_BF16), they would be slower",
        remedy="Leave out the precision",
    )
