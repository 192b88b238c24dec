"""A device without enough memory: batches are halved, with the same result; what fits in no batch is a typed error."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import align_eval as ae
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.cli import main
from align_eval.errors import ModelError
from align_eval.infilling.probe import infill
from align_eval.models.batching import in_halves, is_out_of_memory, no_room
from align_eval.models.translation import Decoding, Translator
from tests.infilling.models import marian_folder
from tests.models import families
from tests.models.tiny import write_model

OUT = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB"


@contextmanager
def room_for(module: Any, rows: int) -> Iterator[list[int]]:
    """A module that runs out of memory with more rows than that; the sizes of the batches that it was given."""
    sizes: list[int] = []

    def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"] if kwargs.get("input_ids") is not None else args[0]
        sizes.append(len(ids))
        if len(ids) > rows:
            raise torch.OutOfMemoryError(OUT)

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()


def test_halves_are_in_order_and_later_batches_are_cut_first() -> None:
    tried = []

    def work(some: Sequence[int]) -> int:
        tried.append(len(some))
        if len(some) > 2:
            raise torch.OutOfMemoryError(OUT)
        return sum(some)

    found = list(in_halves([[1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11]], work))
    assert [list(some) for some, _ in found] == [[1, 2], [3, 4], [5, 6], [7], [8, 9], [10, 11]]
    assert [result for _, result in found] == [3, 7, 11, 7, 17, 21]
    assert tried == [7, 4, 2, 2, 2, 1, 2, 2]  # never four again


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError(OUT), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (RecursionError("maximum recursion depth exceeded"), False),
    ],
)
def test_what_is_out_of_memory(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) == memory

    def work(some: Sequence[int]) -> None:
        raise error

    with pytest.raises(ModelError if memory else type(error), match="--dtype bfloat16" if memory else None):
        list(in_halves([[1, 2]], work))


@pytest.mark.parametrize("kind", ["bert", "marian", "llama"])
def test_attention(kind: str) -> None:
    model = families.build(kind)
    pairs = families.pairs() * 3
    wanted = attention_maps(model, pairs, reading=model.readings[0] if kind == "marian" else None)
    soft = [batch.values.numpy() for batch in word_matrices(model, pairs, [1])]
    with room_for(model.model.get_encoder() if kind == "marian" else model.model, 2) as sizes:
        found = attention_maps(model, pairs, reading=model.readings[0] if kind == "marian" else None)
        again = [batch.values.numpy() for batch in word_matrices(model, pairs, [1])]
    assert max(sizes) > 2
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.by_head().numpy(), other.by_head().numpy(), atol=1e-6)
    assert sum(x.shape[1] for x in again) == sum(x.shape[1] for x in soft)


def test_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = families.build("bert")
    monkeypatch.setattr(encoder, "_packed", None, raising=False)  # as on a GPU
    pairs = [(" ".join(p.source), " ".join(p.target)) for p in families.pairs()] * 3
    wanted = ae.align(pairs, encoder, "softmax", 2)
    with room_for(encoder.model, 1) as sizes:
        found = ae.align(pairs, encoder, "softmax", 2)
    if sizes:  # blocks may be computed by compiled functions, which hooks do not see
        assert max(sizes) > 1
    assert [sorted(x) for x in found] == [sorted(x) for x in wanted]


def test_translations() -> None:
    model = families.build("marian")
    translator = Translator(model, Decoding(beam=2, max_length=8))
    texts = [" ".join(pair.source) for pair in families.pairs()] * 2
    wanted = [one.text for one in translator.translate(texts)]
    with room_for(model.model.get_encoder(), 2) as sizes:
        assert [one.text for one in translator.translate(texts)] == wanted
    assert max(sizes) > 2
    with room_for(model.model.get_encoder(), 0), pytest.raises(ModelError, match="--batch-tokens"):
        translator.translate(texts)


def test_infilling() -> None:
    model = ae.load_model(str(marian_folder(decoder_mode="masked")), target_language="en")
    pairs = families.pairs()
    masks = [[(0,)] for _ in pairs]
    wanted = list(infill(model, pairs, masks, heads=[(1, 1)]))
    with room_for(model.model.get_encoder(), 2) as sizes:
        found = list(infill(model, pairs, masks, heads=[(1, 1)]))
    assert max(sizes) > 2
    order = {one.pair.id: one for one in found}
    for one in wanted:
        np.testing.assert_allclose(order[one.pair.id].full.values, one.full.values, atol=1e-6)


def test_the_command_says_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "bert", "bert")

    def full(*arguments: object, **named: object) -> None:
        raise torch.OutOfMemoryError(OUT)

    for place in ("align_eval.aligners.make_aligner", "torch.nn.Module.to"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(SystemExit) as stopped:
                main(["align", "--testset", "mini-ende", "--model", str(folder)])
        assert stopped.value.code == 1
        assert "--dtype bfloat16" in capsys.readouterr().err


def test_float64_is_made_on_the_cpu_alone() -> None:
    """MPS has no float64: ``tensor.double()`` is called on what ``.cpu()`` gives, or by ``widest``."""
    package = Path(ae.__file__).parent
    for folder in ("aligners", "extraction", "infilling", "models", "runs", "signals"):
        for path in (package / folder).rglob("*.py"):
            if path.name == "double.py":  # a form of the CPU
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "double":
                    assert ".cpu()" in ast.unparse(node.func.value), f"{path}:{node.lineno}"
    assert no_room("x").remedy
