"""Blocks by one compiled function each: products against float64, rows that do not depend on each other, weights."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from align_eval.models.cpu import fused
from align_eval.models.cpu.compiled import DEPTH, OUTPUTS, CompiledBlocks, Floats, Numbers, multiply
from align_eval.models.cpu.int16 import Integers
from tests.models.tiny import bert

# Around the six rows of a tile and the 72 of a chunk.
COUNTS = [*range(1, 15), 71, 72, 73, 143, 145, 217]
NUMBERS = [Floats(), Integers()]


def _blocks(model: Any, numbers: Numbers) -> CompiledBlocks:
    found = CompiledBlocks.of(list(model.encoder.layer), 2, numbers)
    assert found is not None
    return found


def _states(model: Any, blocks: CompiledBlocks, sentences: Sequence[Tensor], layers: Sequence[int]) -> list[Tensor]:
    """Of sentences one after the other, each ``(layers, T, width)``."""
    with torch.inference_mode():
        x = torch.cat([model.embeddings(input_ids=ids[None])[0] for ids in sentences])
        found = torch.stack(blocks(x, [(1, len(ids)) for ids in sentences], layers))
    return list(found.split([len(ids) for ids in sentences], dim=1))


def test_the_compiled_function_sums_as_many(functions: Any) -> None:
    assert functions.align_eval_float32_depth() == DEPTH


class TestProducts:
    @pytest.mark.parametrize("rows", COUNTS)
    @pytest.mark.parametrize(("inputs", "outputs"), [(8, 16), (64, 192), (512, 32), (520, 16), (1536, 48)])
    def test_against_float64(self, functions: Any, rows: int, inputs: int, outputs: int) -> None:
        torch.manual_seed(rows)
        x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
        found = multiply(Floats(), Floats().pack(weight), x, functions)
        expected, sizes = x.double() @ weight.double().T, x.double().abs() @ weight.double().abs().T
        # Higham (2002), equation 3.5: one rounding for each step of a sum, and for each sum of parts.
        steps = min(inputs, DEPTH) + inputs // DEPTH
        assert bool(((found - expected).abs() <= steps * 2**-24 / (1 - steps * 2**-24) * sizes).all())
        assert float((found - expected).norm() / expected.norm()) < 1e-6

    def test_by_hand(self, functions: Any) -> None:
        weight = torch.zeros(OUTPUTS, 8)
        weight[1] = torch.arange(8.0)
        weight[15, 7] = -2.0
        x = torch.zeros(7, 8)
        x[0], x[6, 7] = 1.0, 3.0
        found = multiply(Floats(), Floats().pack(weight), x, functions)
        expected = torch.zeros(7, OUTPUTS)
        expected[0, 1], expected[0, 15] = 28, -2
        expected[6, 1], expected[6, 15] = 21, -6
        assert torch.equal(found, expected)

    @pytest.mark.parametrize("numbers", NUMBERS, ids=lambda n: n.name)
    def test_a_row_does_not_depend_on_the_others(self, functions: Any, numbers: Numbers) -> None:
        x, packed = torch.randn(150, 528), numbers.pack(torch.randn(48, 528))
        found = multiply(numbers, packed, x, functions)
        for row in range(len(x)):
            assert torch.equal(multiply(numbers, packed, x[row : row + 1], functions)[0], found[row])

    @pytest.mark.parametrize("numbers", NUMBERS, ids=lambda n: n.name)
    def test_no_rows(self, functions: Any, numbers: Numbers) -> None:
        assert multiply(numbers, numbers.pack(torch.randn(16, 32)), torch.empty(0, 32), functions).shape == (0, 16)

    def test_what_is_not_finite_stays_in_its_row(self, functions: Any) -> None:
        x, packed = torch.randn(80, 64), Floats().pack(torch.randn(32, 64))
        expected = multiply(Floats(), packed, x, functions)
        x[40, 3] = torch.nan
        found = multiply(Floats(), packed, x, functions)
        assert found[40].isnan().all()
        keep = torch.arange(80) != 40
        assert torch.equal(found[keep], expected[keep])


class TestBlocks:
    @pytest.mark.parametrize(("numbers", "near"), [(NUMBERS[0], 2e-5), (NUMBERS[1], 2e-2)], ids=["float32", "int16"])
    @pytest.mark.parametrize("inner", [80, 528])
    def test_states_are_those_of_the_model(self, functions: Any, numbers: Numbers, near: float, inner: int) -> None:
        model = bert(intermediate_size=inner)
        torch.manual_seed(1)
        sentences = [torch.randint(0, 50, (t,)) for t in (5, 5, 5, 200, 24, 24, 1, 1, 30, 7, 71, 72, 73, 3)]
        found = _states(model, _blocks(model, numbers), sentences, [3, 0, 1, 1])
        for ids, states in zip(sentences, found, strict=True):
            with torch.inference_mode():
                all_layers = model(ids[None], output_hidden_states=True).hidden_states
            for state, layer in zip(states, (3, 0, 1, 1), strict=True):
                torch.testing.assert_close(state, all_layers[layer][0], rtol=0, atol=near)

    @settings(max_examples=25, deadline=None)
    @given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=9), seed=st.integers(0, 99))
    @pytest.mark.parametrize("numbers", NUMBERS, ids=lambda n: n.name)
    def test_a_sentence_does_not_depend_on_its_batch(
        self, compiled: Any, numbers: Numbers, lengths: list[int], seed: int
    ) -> None:
        if fused.functions() is None:
            pytest.skip("needs a processor with AVX2 and FMA")
        model = bert(num_hidden_layers=2)
        blocks = _blocks(model, numbers)
        draw = torch.Generator().manual_seed(seed)
        sentences = [torch.randint(0, 50, (length,), generator=draw) for length in lengths]
        together = _states(model, blocks, sentences, [1, 2])
        for ids, states in zip(sentences, together, strict=True):
            assert torch.equal(_states(model, blocks, [ids], [1, 2])[0], states)

    def test_no_sentences(self, functions: Any) -> None:
        model = bert()
        with torch.inference_mode():
            (found,) = _blocks(model, Floats())(torch.empty(0, 64), [(0, 5)], [3])
        assert found.shape == (0, 64)

    def test_weights_changed_in_place_are_seen(self, functions: Any) -> None:
        model, sentences = bert(), [torch.arange(9)]
        blocks = _blocks(model, Floats())
        before = _states(model, blocks, sentences, [3])[0]
        with torch.no_grad():
            model.encoder.layer[1].intermediate.dense.weight.mul_(1.5)
        after = _states(model, blocks, sentences, [3])[0]
        assert not torch.allclose(before, after, atol=1e-3)
        with torch.inference_mode():
            expected = model(sentences[0][None]).last_hidden_state
        torch.testing.assert_close(after, expected, rtol=0, atol=2e-5)

    def test_only_blocks_that_are_used_are_copied(self, functions: Any) -> None:
        model = bert()
        blocks = _blocks(model, Floats())
        assert not blocks.ready
        _states(model, blocks, [torch.arange(5)], [2])
        assert sorted(blocks.ready) == [0, 1]
        blocks.forget()
        assert not blocks.ready

    def test_weights_are_copied_once_by_threads_at_one_time(
        self, functions: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = bert()
        blocks = _blocks(model, Floats())
        made: list[int] = []
        prepare = CompiledBlocks._prepare

        def counted(self: CompiledBlocks, block: Any, made_of: Any) -> Any:
            made.append(id(block))
            return prepare(self, block, made_of)

        monkeypatch.setattr(CompiledBlocks, "_prepare", counted)
        expected = _states(model, _blocks(model, Floats()), [torch.arange(9)], [3])[0]
        made.clear()
        found: list[Tensor] = []

        def work() -> None:
            found.append(_states(model, blocks, [torch.arange(9)], [3])[0])

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert all(torch.equal(one, expected) for one in found)
        assert len(made) == 3

    @pytest.mark.parametrize(
        "options", [{"num_attention_heads": 4}, {"intermediate_size": 88}, {"dtype": torch.float64}], ids=str
    )
    def test_widths_and_types_that_it_does_not_take(self, functions: Any, options: dict[str, Any]) -> None:
        options = dict(options)
        dtype = options.pop("dtype", torch.float32)
        blocks = list(bert(**options).to(dtype).encoder.layer)
        assert CompiledBlocks.of(blocks, options.get("num_attention_heads", 2), Floats()) is None

    def test_layers_without_a_bias(self, functions: Any) -> None:
        blocks = list(bert().encoder.layer)
        blocks[1].output.dense.bias = None
        assert CompiledBlocks.of(blocks, 2, Floats()) is None

    def test_nothing_compiled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fused, "functions", lambda: None)
        assert CompiledBlocks.of(list(bert().encoder.layer), 2, Floats()) is None
