"""Products in 16-bit integers: exact sums, none that overflows, vectors near float64, links near float32."""

from __future__ import annotations

import copy
import ctypes
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import load_testset
from align_eval.errors import InputError, ModelError, NonFiniteError, UnknownNameError
from align_eval.models import Encoder, load_model
from align_eval.models.cpu import int16
from align_eval.models.cpu.compiled import OUTPUTS, CompiledBlocks, Floats, Packed, multiply
from align_eval.models.cpu.int16 import TOP, Int16States, Integers, check_precision, pack
from align_eval.models.families import FamilyOptions
from align_eval.runs.api import score
from tests.models.tiny import WORDS, write_model

SHAPE = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96}
# Around the six rows of a tile and the 72 of a chunk.
COUNTS = [*range(1, 15), 47, 48, 49, 54, 71, 72, 73, 97, 145]
SENTENCES = [WORDS[k : k + n] for k, n in ((0, 4), (3, 9), (5, 1), (2, 12), (7, 3))] + [[]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Four blocks with biases that are not zero."""
    encoder = load_model(str(write_model(tmp_path_factory.mktemp("bert"), "bert", **SHAPE)), family="encoder")
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in encoder.model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return encoder


def integers(encoder: Encoder) -> Encoder:
    """The same weights with products in integers."""
    return Encoder(encoder.name, encoder.model, encoder.tokenizer, path=encoder.path, precision="int16")


@pytest.fixture
def states(functions: Any, tiny: Encoder) -> Int16States:
    found = integers(tiny)._packed
    assert isinstance(found, Int16States)
    return found


def rows_of(packed: Packed) -> Tensor:
    """The integers as they lie in a matrix, ``(out, in)``."""
    return packed.weights.transpose(1, 2).reshape(packed.outputs, packed.inputs)


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

    def linear(x: Tensor, by: Any) -> Tensor:
        return functional.linear(x, by.weight.double(), by.bias.double())

    def norm(x: Tensor, by: Any) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], by.weight.double(), by.bias.double(), by.eps)

    x = encoder.model.embeddings(input_ids=ids).double()
    found = []
    for block in encoder.model.encoder.layer:
        own, size = block.attention.self, x.shape[-1] // encoder.heads
        query, key, value = (
            linear(x, by).view(len(ids), -1, encoder.heads, size).transpose(1, 2)
            for by in (own.query, own.key, own.value)
        )
        mixed = ((query @ key.transpose(-1, -2) / size**0.5).softmax(-1) @ value).transpose(1, 2).flatten(2)
        x = norm(x + linear(mixed, block.attention.output.dense), block.attention.output.LayerNorm)
        inner = functional.gelu(linear(x, block.intermediate.dense))
        x = norm(x + linear(inner, block.output.dense), block.output.LayerNorm)
        found.append(x)
    return [found[layer - 1] for layer in layers]


class TestStates:
    def test_near_float64(self, states: Int16States, tiny: Encoder) -> None:
        ids = torch.randint(5, 60, (11, 9), generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            expected = reference(tiny, ids, range(1, 5))
            found = states([ids], range(1, 5)).view(4, 11, 9, -1)
        for one, other in zip(found, expected, strict=True):
            assert float((one - other).norm() / other.norm()) < 1e-3

    @pytest.mark.usefixtures("functions")
    def test_near_float32(self, tiny: Encoder) -> None:
        encoder, ids = integers(tiny), tiny.tokenize(SENTENCES).ids
        expected, found = tiny.encode(ids, [4, 0, 2, 4]), encoder.encode(ids, [4, 0, 2, 4])
        assert all(a.shape == b.shape and b.dtype == torch.float32 for a, b in zip(expected, found, strict=True))
        for a, b in zip(expected, found, strict=True):
            torch.testing.assert_close(a[1], b[1])  # the embeddings are the model's own
            torch.testing.assert_close(b[0], b[3], rtol=0, atol=0)
        cosines = [torch.cosine_similarity(a, b, dim=-1).flatten() for a, b in zip(found, expected, strict=True)]
        assert float(torch.cat(cosines).min()) > 0.99999
        assert (encoder.precision, encoder.dtype) == ("int16", torch.float32)

    @pytest.mark.usefixtures("functions")
    def test_a_sentence_alone_and_among_others(self, tiny: Encoder) -> None:
        encoder, ids = integers(tiny), tiny.tokenize(SENTENCES).ids
        together = encoder.encode(ids, [4])
        for k, sentence in enumerate(ids):
            assert torch.equal(encoder.encode([sentence], [4])[0], together[k])

    def test_layers_and_batches_change_nothing(self, states: Int16States) -> None:
        runs = [torch.randint(5, 60, shape) for shape in ((2, 33), (3, 20), (1, 7), (4, 2), (2, 1))]
        with torch.inference_mode():
            together = states(runs, [4, 0, 2])
            start = 0
            for run in runs:
                size = run.numel()
                assert torch.equal(states([run], [4, 0, 2]), together[:, start : start + size])
                assert torch.equal(states([run], [2])[0], together[2, start : start + size])
                start += size
            states(runs, [4])
            assert torch.equal(together, states(runs, [4, 0, 2]))  # what was given was not written over

    def test_on_threads_at_one_time(self, states: Int16States) -> None:
        batches = [[torch.randint(5, 60, (3, k))] for k in (4, 38, 9, 21)]
        with torch.inference_mode():
            expected = [states(batch, [4]) for batch in batches]
        found: dict[int, list[Tensor]] = {k: [] for k in range(len(batches))}

        def run(k: int) -> None:
            with torch.inference_mode():
                found[k] = [states(batches[k], [4]) for _ in range(5)]

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


class TestExtremeWeights:
    """Where integers are too coarse, nothing is computed."""

    @pytest.mark.usefixtures("functions")
    def test_refused_when_loaded_and_when_changed(self, tiny: Encoder) -> None:
        model = copy.deepcopy(tiny.model)
        encoder = Encoder(tiny.name, model, tiny.tokenizer, path=tiny.path, precision="int16")
        ids = tiny.tokenize(SENTENCES).ids
        encoder.encode(ids, [4])
        with torch.no_grad():
            model.encoder.layer[1].attention.self.query.weight[:, ::7].mul_(3000)
        said = r"int16 is too coarse for the weights of .*: at layer 2 .*Leave out the precision"
        with pytest.raises(ModelError, match=said):
            encoder.encode(ids, [4])
        again = Encoder(tiny.name, model, tiny.tokenizer, path=tiny.path, precision="int16")
        with pytest.raises(ModelError, match=said):
            again.encode(ids, [4])
        again.encode(ids, [1])  # the layer below is near


class TestModels:
    """Which models have this precision, and what becomes of one that is changed afterwards."""

    @pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
    def test_blocks_compute_what_the_model_does(self, functions: Any, tmp_path: Path, kind: str) -> None:
        encoder = load_model(str(write_model(tmp_path, kind, **SHAPE)), family="encoder", precision="int16")
        ids = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, encoder.pad, encoder.pad]])
        mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
        with torch.inference_mode():
            own = encoder.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
            found = encoder._packed([ids[:1], ids[1:, :3]], range(1, 5))
            blocks = CompiledBlocks.of(list(encoder.model.encoder.layer), encoder.heads, Floats())
            embedded = encoder.model.embeddings(input_ids=ids)[mask.bool()]
            exact = blocks(embedded, [(1, 5), (1, 3)], range(1, 5))
        for a, b, c in zip(own[1:], exact, found, strict=True):
            torch.testing.assert_close(a[mask.bool()], b, rtol=0, atol=1e-5)
            assert float((a[mask.bool()] - c).norm() / c.norm()) < 1e-3

    @pytest.mark.parametrize("kind", ["electra", "distilbert", "albert", "modernbert", "deberta-v2"])
    def test_other_models_are_refused(self, functions: Any, tmp_path: Path, kind: str) -> None:
        encoder = load_model(str(write_model(tmp_path, kind)), family="encoder")
        with pytest.raises(ModelError, match=f"is a {kind} model"):
            integers(encoder)

    @pytest.mark.usefixtures("functions")
    def test_blocks_that_compute_something_else_are_refused(self, tiny: Encoder) -> None:
        class Doubled(torch.nn.Linear):
            def forward(self, input: torch.Tensor) -> torch.Tensor:
                return 2 * super().forward(input)

        dense = tiny.model.encoder.layer[1].output.dense
        own = type(dense)
        dense.__class__ = Doubled
        try:
            with pytest.raises(ModelError, match="compute something else"):
                integers(tiny)
        finally:
            dense.__class__ = own

    def test_widths(self, functions: Any, tmp_path: Path) -> None:
        path = write_model(tmp_path, "bert")
        with pytest.raises(
            ModelError, match="has heads of 8 and an inner width of 48; they have to be multiples of 32"
        ):
            load_model(str(path), family="encoder", precision="int16")


class TestErrors:
    def test_unknown(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'int16'"):
            load_model("offline:e5-small", precision="int-16")
        for gone in ("int8", "bf16", "openvino-int8"):
            with pytest.raises(UnknownNameError, match=r"unknown precision .* Known: int16"):
                load_model("offline:e5-small", precision=gone)

    def test_beside_a_dtype_or_a_gpu(self, tiny: Encoder) -> None:
        with pytest.raises(InputError, match="exclude each other"):
            load_model("offline:e5-small", precision="int16", dtype="bfloat16")
        with pytest.raises(InputError, match="not on cuda:0"):
            check_precision("int16", "float32", "cuda:0")
        half = copy.deepcopy(tiny.model).bfloat16()
        with pytest.raises(InputError, match="dtype bfloat16 exclude each other"):
            Encoder(tiny.name, half, tiny.tokenizer, precision="int16")

    def test_other_families_and_heads(self) -> None:
        for family in ("seq2seq", "decoder"):
            with pytest.raises(InputError, match="takes no precision"):
                FamilyOptions(precision="int16").check(family, "model")
        with pytest.raises(InputError, match="a head does not go with"):
            FamilyOptions(precision="int16", head="mlm").check("encoder", "model")

    def test_nothing_compiled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(int16, "functions", lambda: None)
        with pytest.raises(ModelError, match=r"int16 needs the compiled functions .*python -m align_eval\.native"):
            check_precision("int16", "float32", "cpu")

    @pytest.mark.usefixtures("functions")
    def test_simalign(self, tiny: Encoder) -> None:
        with pytest.raises(InputError, match="float32 only"):
            make_aligner(AlignerSettings(integers(tiny), ("simalign:argmax",)))


@pytest.mark.usefixtures("functions")
def test_signature(tiny: Encoder) -> None:
    aligner = make_aligner(AlignerSettings(integers(tiny), layers=(2,)))
    assert aligner.describe()["dtype"] == "int16"
    assert make_aligner(AlignerSettings(tiny, layers=(2,))).describe()["dtype"] == "float32"


@pytest.mark.model
@pytest.mark.xdist_group("e5")
def test_vectors_of_the_real_model(functions: Any, e5: Encoder) -> None:
    pairs = load_testset("mini-enzh").pairs
    ids = e5.tokenize([side for pair in pairs for side in (pair.source, pair.target)]).ids
    expected, found = (torch.cat(one.encode(ids, [7]), dim=1) for one in (e5, integers(e5)))
    assert float((found - expected).norm() / expected.norm()) < 0.002
    assert float(torch.cosine_similarity(found, expected, dim=-1).min()) > 0.9999


@pytest.mark.model
@pytest.mark.xdist_group("e5")
def test_links_of_the_real_model(functions: Any, e5: Encoder) -> None:
    """One link of these sets of 40 pairs is 0.1 points of AER."""
    encoder = integers(e5)
    for name in ("mini-ende", "mini-enfr"):
        testset = load_testset(name)
        found: list[Any] = []
        for one in (e5, encoder):
            aligner = make_aligner(AlignerSettings(one, ("argmax",), (7,)))
            (links,) = aligner.align_all(testset.pairs).values()
            found.append((score(testset, links, resamples=0).aer, [set(pair) for pair in links]))
        (aer, full), (aer_reduced, links) = found
        both = 2 * sum(len(a & b) for a, b in zip(full, links, strict=True))
        assert both / sum(len(a) + len(b) for a, b in zip(full, links, strict=True)) > 0.998
        assert abs(aer - aer_reduced) <= 0.1, (aer, aer_reduced)


@pytest.mark.model
@pytest.mark.xdist_group("e5")
@pytest.mark.parametrize("factor", [10.0, 1e3, 1e6, 1e20])
@pytest.mark.parametrize("name", ["intermediate.dense", "output.dense", "attention.self.query", "attention.self.value"])
def test_extreme_weights_of_the_real_model(functions: Any, e5: Encoder, name: str, factor: float) -> None:
    """Refused, or as near as with weights as they are."""
    model = copy.deepcopy(e5.model)
    with torch.no_grad():
        model.get_submodule(f"encoder.layer.0.{name}").weight.mul_(factor)
    exact, encoder = (Encoder(e5.name, model, e5.tokenizer, path=e5.path, precision=p) for p in (None, "int16"))
    ids = e5.tokenize([pair.source for pair in load_testset("mini-ende").pairs[:8]]).ids
    expected = torch.cat(exact.encode(ids, [7]), dim=1)
    try:
        found = torch.cat(encoder.encode(ids, [7]), dim=1)
    except ModelError as error:
        refused = str(error)
    else:
        refused = ""
        assert float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max()) < 0.04
    assert not refused or "too coarse" in refused
