"""Products in 16-bit integers: exact sums, none that overflows, and blocks near those of float64."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from align_eval.errors import ModelError, NonFiniteError
from align_eval.models import Encoder, load_model
from align_eval.models.compiled_blocks import OUTPUTS, multiply
from align_eval.models.reduced import PRECISIONS, int16
from align_eval.models.reduced.blocks import read_blocks
from align_eval.models.reduced.int16 import TOP, Int16States, Integers, pack, rows_of
from tests.models.tiny import WORDS, write_model

SHAPE = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96}
# Around the six rows of a tile and the 72 of a chunk.
COUNTS = [*range(1, 15), 47, 48, 49, 54, 71, 72, 73, 97, 145]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Four blocks with biases that are not zero."""
    encoder = load_model(str(write_model(tmp_path_factory.mktemp("bert"), "bert", **SHAPE)), family="encoder")
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return encoder


@pytest.fixture
def states(functions: Any, tiny: Encoder) -> Int16States:
    return Int16States(tiny)


def product(functions: Any, x: Tensor, weight: Tensor) -> Tensor:
    """x W^T as the compiled function computes it."""
    return multiply(Integers(), pack(weight), x, functions)


def by_hand(x: Tensor, weight: Tensor) -> np.ndarray[Any, Any]:
    """The same in numpy, with sums in 64 bits."""
    by = pack(weight)
    top = np.float32(TOP)
    largest = np.maximum(np.abs(x.numpy()).max(axis=1), np.float32(1e-30))
    integers = np.rint(x.numpy() * (top / largest)[:, None]).astype(np.int64)
    sums = integers @ rows_of(by).numpy().astype(np.int64).T
    assert np.abs(sums).max() < 2**31
    return sums.astype(np.float32) * ((largest / top)[:, None] * by.scales.numpy())


def test_the_compiled_function_has_the_same_limit(functions: Any) -> None:
    functions.align_eval_int16_top.restype = ctypes.c_int64
    assert functions.align_eval_int16_top() == TOP


class TestPack:
    def test_by_hand(self) -> None:
        weight = torch.zeros(OUTPUTS, 4)
        weight[0] = torch.tensor([1.0, -2.0, 0.5, 0.0])
        weight[3] = 1.0
        packed = pack(weight)
        limit = (2**31 - 1) // TOP - 2  # 262175, and half a unit for each of four weights
        one = max(3.5 / limit, 2 / 32767)  # here the greatest weight decides
        assert packed.scales[0] == pytest.approx(one)
        assert rows_of(packed)[0].tolist() == [round(w / one) for w in (1.0, -2.0, 0.5, 0.0)]
        assert rows_of(packed)[3].tolist() == [32767] * 4
        assert rows_of(packed)[1].tolist() == [0] * 4
        # Output 0 and 1, inputs 2 and 3, as they lie.
        assert packed.weights[0, 1, :2].tolist() == [rows_of(packed)[0, 2:].tolist(), [0, 0]]

    @pytest.mark.parametrize("inputs", [2, 8, 384, 1536, 4096])
    @pytest.mark.parametrize("kind", ["normal", "equal", "one", "alternating"])
    def test_no_sum_overflows(self, inputs: int, kind: str) -> None:
        weight = torch.randn(32, inputs, generator=torch.Generator().manual_seed(inputs))
        if kind == "equal":
            weight = torch.full_like(weight, 0.3)
        if kind == "one":
            weight[:, 1:] *= 1e-6
        if kind == "alternating":
            weight = torch.where(torch.arange(inputs) % 2 == 0, 1.5, -0.7).expand(32, inputs).contiguous()
        packed = pack(weight)
        sizes = rows_of(packed).long().abs()
        assert int(sizes.sum(dim=1).max()) * TOP < 2**31
        assert int(sizes.max()) <= 32767
        apart = (rows_of(packed) * packed.scales[:, None] - weight).abs()
        assert bool((apart <= packed.scales[:, None] * 0.5001).all())
        # As fine as it goes: some output uses nine tenths of a limit.
        assert max(int(sizes.sum(dim=1).max()) * TOP / 2**31, int(sizes.max()) / 32767) > 0.9


class TestProduct:
    @pytest.mark.parametrize("rows", COUNTS)
    @pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (64, 192), (96, 64)])
    def test_sums_are_exact(self, functions: Any, rows: int, inputs: int, outputs: int) -> None:
        torch.manual_seed(rows)
        x, weight = torch.randn(rows, inputs) * torch.rand(rows, 1) * 9, torch.randn(outputs, inputs)
        np.testing.assert_allclose(product(functions, x, weight).numpy(), by_hand(x, weight), rtol=3e-7, atol=0)
        np.testing.assert_allclose(product(functions, x, weight), x @ weight.T, atol=2e-3 * float((x @ weight.T).std()))

    def test_all_at_their_greatest(self, functions: Any) -> None:
        weight, x = torch.full((16, 1536), 0.5), torch.full((7, 1536), 3.0)
        x[3, ::2] *= -1
        x[4] *= -1
        x[5] *= 1e-12
        found = product(functions, x, weight)
        torch.testing.assert_close(found, x @ weight.T, rtol=3e-3, atol=1e-4)
        np.testing.assert_allclose(found, by_hand(x, weight), rtol=3e-7)

    def test_a_row_does_not_depend_on_the_others(self, functions: Any) -> None:
        x, weight = torch.randn(53, 64), torch.randn(48, 64)
        found = product(functions, x, weight)
        for row in range(len(x)):
            assert torch.equal(product(functions, x[row : row + 1].clone(), weight)[0], found[row])

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), -float("nan")])
    def test_what_is_not_finite_stays_in_its_row(self, functions: Any, bad: float) -> None:
        x, weight = torch.randn(9, 64), torch.randn(16, 64)
        expected = product(functions, x, weight)
        x[4, 17] = bad
        found = product(functions, x, weight)
        assert not torch.isfinite(found[4]).any()
        keep = torch.arange(9) != 4
        assert torch.equal(found[keep], expected[keep])

    def test_nothing_gives_nothing(self, functions: Any) -> None:
        assert product(functions, torch.zeros(3, 64), torch.randn(16, 64)).eq(0).all()
        assert product(functions, torch.randn(3, 64), torch.zeros(16, 64)).eq(0).all()


def reference(encoder: Encoder, ids: Tensor, layers: range) -> list[Tensor]:
    """The blocks in float64, by their equations."""
    x = encoder.model.embeddings(input_ids=ids).double()
    found = []
    for block in read_blocks(encoder):
        width, heads = x.shape[-1], encoder.heads
        projected = functional.linear(x, block.qkv.weight.double(), block.qkv.bias.double())
        query, key, value = (
            part.view(len(ids), -1, heads, width // heads).transpose(1, 2) for part in projected.split(width, -1)
        )
        mixed = (
            ((query @ key.transpose(-1, -2)).softmax(-1) @ value).transpose(1, 2).flatten(2)
        )  # scaled by read_blocks

        def norm(x: Tensor, by: Any) -> Tensor:
            return functional.layer_norm(x, x.shape[-1:], by.weight.double(), by.bias.double(), by.eps)

        def linear(x: Tensor, by: Any) -> Tensor:
            return functional.linear(x, by.weight.double(), by.bias.double())

        x = norm(x + linear(mixed, block.out), block.attention_norm)
        x = norm(x + linear(functional.gelu(linear(x, block.up)), block.down), block.norm)
        found.append(x)
    return [found[layer - 1] for layer in layers]


class TestStates:
    def test_near_float64(self, states: Int16States, tiny: Encoder) -> None:
        ids = torch.randint(5, 60, (11, 9), generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            expected = reference(tiny, ids, range(1, 5))
            found = states(ids, None, range(1, 5))
        for one, other in zip(found, expected, strict=True):
            assert float((one - other).norm() / other.norm()) < 1e-3

    def test_masked_sub_words_count_for_nothing(self, states: Int16States) -> None:
        ids, mask = torch.tensor([[2, 9, 3, 0, 0], [2, 7, 11, 12, 3], [0, 0, 0, 0, 0], [0, 2, 8, 0, 3]]), None
        mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]])
        with torch.inference_mode():
            (found,) = states(ids, mask, [3])
            (alone,) = states(ids[:1, :3], None, [3])
            (whole,) = states(ids[1:2], None, [3])
        assert torch.equal(found[0, :3], alone[0])
        assert torch.equal(found[1], whole[0])
        assert found[mask == 0].eq(0).all()
        with torch.inference_mode():
            (nothing,) = states(ids, torch.zeros_like(mask), [3])
        assert nothing.eq(0).all()

    def test_layers_and_batches_change_nothing(self, states: Int16States) -> None:
        runs = [torch.randint(5, 60, shape) for shape in ((2, 33), (3, 20), (1, 7), (4, 2), (2, 1))]
        with torch.inference_mode():
            together = states.end_to_end(runs, [4, 0, 2])
            start = 0
            for run in runs:
                size = run.numel()
                assert torch.equal(states.end_to_end([run], [4, 0, 2]), together[:, start : start + size])
                assert torch.equal(states.end_to_end([run], [2])[0], together[2, start : start + size])
                start += size
            states.end_to_end(runs, [4])
            assert torch.equal(together, states.end_to_end(runs, [4, 0, 2]))  # what was given was not written over

    def test_on_threads_at_one_time(self, states: Int16States) -> None:
        batches = [[torch.randint(5, 60, (3, k))] for k in (4, 38, 9, 21)]
        with torch.inference_mode():
            expected = [states.end_to_end(batch, [4]) for batch in batches]
        found: dict[int, list[Tensor]] = {k: [] for k in range(len(batches))}

        def run(k: int) -> None:
            with torch.inference_mode():
                found[k] = [states.end_to_end(batches[k], [4]) for _ in range(5)]

        threads = [threading.Thread(target=run, args=(k,)) for k in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(len(found[k]) == 5 for k in found)
        assert all(torch.equal(one, expected[k]) for k in found for one in found[k])

    def test_weights_that_are_not_finite_are_noticed(self, functions: Any, tmp_path: Path) -> None:
        encoder = load_model(str(write_model(tmp_path, "bert", **SHAPE)), family="encoder", precision="int16")
        encoder.encode(encoder.tokenize([WORDS[:4]]).ids, [4])
        with torch.no_grad():
            encoder.model.embeddings.word_embeddings.weight.fill_(float("nan"))
        with pytest.raises(NonFiniteError, match="sentence 1"):
            encoder.encode(encoder.tokenize([WORDS[:4]]).ids, [4])


class TestErrors:
    def test_widths(self, functions: Any, tmp_path: Path) -> None:
        path = write_model(tmp_path, "bert")
        with pytest.raises(
            ModelError, match="has heads of 8 and an inner width of 48; they have to be multiples of 32"
        ):
            load_model(str(path), family="encoder", precision="int16")

    def test_nothing_compiled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(int16, "functions", lambda: None)
        with pytest.raises(ModelError, match=r"int16 needs the compiled functions .*python -m align_eval\.native"):
            PRECISIONS.get("int16").require()


@pytest.mark.model
@pytest.mark.xdist_group("e5")
def test_vectors_of_the_real_model(functions: Any, e5: Encoder) -> None:
    from align_eval.corpora import load_testset

    pairs = load_testset("mini-enzh").pairs
    ids = e5.tokenize([side for pair in pairs for side in (pair.source, pair.target)]).ids
    encoder = Encoder(e5.name, e5.model, e5.tokenizer, path=e5.path, precision="int16")
    expected, found = (torch.cat(one.encode(ids, [7]), dim=1) for one in (e5, encoder))
    assert float((found - expected).norm() / expected.norm()) < 0.002
    assert float(torch.cosine_similarity(found, expected, dim=-1).min()) > 0.9999
