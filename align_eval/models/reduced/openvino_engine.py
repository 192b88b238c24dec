"""The blocks of an encoder as a graph of OpenVINO, compiled for this processor.

The graph is built in memory from the weights that are loaded: nothing is converted by way of a file, and nothing is
sent anywhere (OpenVINO reports its import to its makers where the package openvino-telemetry is installed; here it
does not find that package).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from align_eval.errors import ModelError
from align_eval.models.reduced.base import ReducedStates

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from align_eval.models.encoder import Encoder
    from align_eval.models.reduced.blocks import Block, Linear, Norm

_TELEMETRY = "openvino_telemetry"
# Added to the scores of padded sub-words. Not the least float32: the sum must stay finite.
_MASKED = -1e30


class OpenVinoStates(ReducedStates):
    """States computed by OpenVINO, products in bfloat16 unless a kind says otherwise.

    ``capability``: what OpenVINO must say of the processor.
    """

    capability: ClassVar[str] = "BF16"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._core: Any = import_openvino(self.name).Core()
        self._compiled: dict[tuple[int, ...], Any] = {}

    @classmethod
    def require(cls) -> None:
        if cls.capability not in _capabilities(import_openvino(cls.name).Core()):
            raise ModelError(
                f"precision {cls.name}: this processor has no fast {cls.capability} products, OpenVINO says",
                remedy="Leave out the precision",
            )

    def product(self, x: Any, linear: Linear, where: tuple[int, str]) -> Any:
        """The node of ``x W^T + b``; ``where``: the block's number from 0 and the product's name."""
        op = import_openvino(self.name).opset13
        made = op.matmul(x, op.constant(linear.weight.numpy()), False, True)
        return op.add(made, op.constant(linear.bias.numpy()[None, None]))

    def run(self, embedded: torch.Tensor, mask: torch.Tensor | None, layers: Sequence[int]) -> list[torch.Tensor]:
        import torch

        key = tuple(layers)
        if key not in self._compiled:
            self._compiled[key] = self._compile(key)
        batch, length, _ = embedded.shape
        bias = np.zeros((batch, 1, 1, length), dtype=np.float32)
        if mask is not None:
            bias[~mask[:, None, None, :].bool().numpy()] = _MASKED
        request = self._compiled[key]
        request.infer([embedded.contiguous().numpy(), bias], share_inputs=True)
        return [torch.from_numpy(request.get_output_tensor(k).data.copy()) for k in range(len(key))]

    def _compile(self, layers: tuple[int, ...]) -> Any:
        import torch

        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in _capabilities(self._core) else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        graph = self._graph(layers)
        try:
            return self._core.compile_model(graph, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO cannot compile the model for this processor: {error}", remedy="Leave out the precision"
            ) from error

    def _graph(self, layers: tuple[int, ...]) -> Any:
        """Inputs: the embeddings ``(B, T, D)`` and ``(B, 1, 1, T)``, added to the scores. Outputs: the states."""
        openvino = import_openvino(self.name)
        op = openvino.opset13
        width = len(self.blocks[0].norm.weight)
        x = embedded = op.parameter([-1, -1, width], np.float32, name="embedded")
        bias = op.parameter([-1, 1, 1, -1], np.float32, name="bias")
        results = []
        for number, block in enumerate(self.blocks[: layers[-1]]):
            x = self._block(op, x, bias, number, block)
            if number + 1 in layers:
                results.append(op.result(x))
        return openvino.Model(results, [embedded, bias], "blocks")

    def _block(self, op: Any, x: Any, bias: Any, number: int, block: Block) -> Any:
        width = len(block.norm.weight)
        apart = op.constant(np.array([0, 0, self.heads, width // self.heads], dtype=np.int64))
        together = op.constant(np.array([0, 0, width], dtype=np.int64))

        def turned(node: Any, *order: int) -> Any:
            return op.transpose(node, op.constant(np.array(order, dtype=np.int64)))

        parts = op.split(self.product(x, block.qkv, (number, "qkv")), op.constant(np.int64(2)), 3).outputs()
        query, key, value = (op.reshape(part, apart, True) for part in parts)
        scores = op.matmul(turned(query, 0, 2, 1, 3), turned(key, 0, 2, 3, 1), False, False)
        mixed = op.matmul(op.softmax(op.add(scores, bias), 3), turned(value, 0, 2, 1, 3), False, False)
        mixed = op.reshape(turned(mixed, 0, 2, 1, 3), together, True)
        x = _norm(op, op.add(self.product(mixed, block.out, (number, "out")), x), block.attention_norm)
        inner = op.gelu(self.product(x, block.up, (number, "up")), "erf")
        return _norm(op, op.add(self.product(inner, block.down, (number, "down")), x), block.norm)


def _norm(op: Any, x: Any, norm: Norm) -> Any:
    scaled = op.mvn(x, op.constant(np.array([2], dtype=np.int64)), True, norm.eps, "inside_sqrt")
    return op.add(op.multiply(scaled, op.constant(norm.weight.numpy())), op.constant(norm.bias.numpy()))


def _capabilities(core: Any) -> list[str]:
    """The kinds of numbers that OpenVINO computes fast on this processor: ``["FP32", "BF16", "INT8", ...]``."""
    return list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def import_openvino(name: str) -> Any:
    """The package openvino; ``name``: of the form that needs it.

    Raises:
        ModelError: it is not installed, or does not load on this machine.
    """
    try:
        with _silent():
            import openvino
    except ImportError as error:
        missing = error.name == "openvino"
        raise ModelError(
            f"precision {name} needs the package openvino" + ("" if missing else f", which does not load: {error}"),
            remedy="Install it: pip install 'align-eval[openvino]'; or take the precision bf16, which needs no package",
        ) from None
    return openvino


@contextmanager
def _silent() -> Iterator[None]:
    """Keep a first import of openvino from finding the package that reports it over the network."""
    if "openvino" in sys.modules or _TELEMETRY in sys.modules:
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(_TELEMETRY, None)
