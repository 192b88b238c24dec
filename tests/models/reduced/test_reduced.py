"""Reduced forms: vectors and links near those of float32, the padding without effect, and typed errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import load_testset
from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models import Encoder, load_model
from align_eval.models.families import FamilyOptions
from align_eval.models.reduced import PRECISIONS, base, calibration, openvino_engine
from align_eval.models.reduced.blocks import Linear, read_blocks, run_blocks
from align_eval.models.reduced.int8 import Int8Linear
from align_eval.models.reduced.openvino_int8 import quantise
from align_eval.runs.api import score
from tests.models.tiny import WORDS, write_model

FORMS = ("bf16", "int16", "int8", "openvino-bf16", "openvino-int8")
# Lowest cosine of a sub-word's vector with that of float32, in a model of random weights, 64 wide.
NEAR = {"bf16": 0.999, "int16": 0.99999, "int8": 0.99, "openvino-bf16": 0.999, "openvino-int8": 0.98}
SENTENCES = [WORDS[k : k + n] for k, n in ((0, 4), (3, 9), (5, 1), (2, 12), (7, 3))] + [[]]


def reduced(encoder: Encoder, form: str) -> Encoder:
    """The same weights in a form; the test is left out where this machine cannot compute it."""
    try:
        return Encoder(encoder.name, encoder.model, encoder.tokenizer, path=encoder.path, precision=form)
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    shape = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96}
    return load_model(str(write_model(tmp_path_factory.mktemp("bert"), "bert", **shape)), family="encoder")


@pytest.fixture(autouse=True)
def own_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "model" not in request.keywords:
        monkeypatch.setenv("ALIGN_EVAL_CACHE", str(tmp_path / "cache"))


def cosines(found: list[torch.Tensor], expected: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([torch.cosine_similarity(a, b, dim=-1).flatten() for a, b in zip(found, expected, strict=True)])


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_blocks_compute_what_the_model_does(tmp_path: Path, kind: str) -> None:
    encoder = load_model(str(write_model(tmp_path, kind)), family="encoder")
    ids = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, encoder._pad, encoder._pad]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.inference_mode():
        own = encoder.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        embedded = encoder.model.embeddings(input_ids=ids)
        found = run_blocks(read_blocks(encoder), encoder.heads, embedded, mask, range(1, 5))
    for a, b in zip(own[1:], found, strict=True):
        torch.testing.assert_close(a[mask.bool()], b[mask.bool()], rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_near_float32(tiny: Encoder, form: str) -> None:
    encoder = reduced(tiny, form)
    ids = tiny.tokenize(SENTENCES).ids
    expected, found = tiny.encode(ids, [4, 0, 2, 4]), encoder.encode(ids, [4, 0, 2, 4])
    assert all(a.shape == b.shape and b.dtype == torch.float32 for a, b in zip(expected, found, strict=True))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a[1], b[1])  # the embeddings are the model's own
        torch.testing.assert_close(b[0], b[3], rtol=0, atol=0)
    assert float(cosines(found, expected).min()) > NEAR[form]
    assert (encoder.precision, encoder.dtype) == (form, torch.float32)


@pytest.mark.parametrize("form", FORMS)
def test_padding_changes_nothing(tiny: Encoder, form: str) -> None:
    encoder = reduced(tiny, form)
    ids = tiny.tokenize(SENTENCES).ids
    together = encoder.encode(ids, [4])
    for k, sentence in enumerate(ids):
        (alone,) = encoder.encode([sentence], [4])
        assert not len(sentence) or float(cosines([together[k]], [alone]).min()) > NEAR[form]


@pytest.mark.parametrize("kind", ["electra", "distilbert", "albert", "modernbert", "deberta-v2"])
def test_other_models_are_refused(tmp_path: Path, kind: str) -> None:
    encoder = load_model(str(write_model(tmp_path, kind)), family="encoder")
    with pytest.raises(ModelError, match=f"is a {kind} model"):
        read_blocks(encoder)


def test_int8_needs_units_that_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {"avx2": True, "avx512_vnni": False, "avx_vnni": False, "amx_int8": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: plain)
    with pytest.raises(ModelError, match=r"openvino-int8: this processor sums 8-bit products in 16 bits"):
        base.require_int8("openvino-int8")
    for unit in ("avx512_vnni", "avx_vnni", "amx_int8"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda unit=unit: {**plain, unit: True})
        base.require_int8("openvino-int8")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"neon": True})  # another kind of processor
    base.require_int8("openvino-int8")


def test_blocks_that_compute_something_else_are_refused(tiny: Encoder) -> None:
    class Doubled(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    dense = tiny.model.encoder.layer[1].output.dense
    own = type(dense)
    dense.__class__ = Doubled
    try:
        with pytest.raises(ModelError, match="compute something else"):
            read_blocks(tiny)
    finally:
        dense.__class__ = own


class TestErrors:
    def test_unknown(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'openvino-int8'"):
            load_model("offline:e5-small", precision="openvino-int")
        assert PRECISIONS.names() == sorted(FORMS)

    def test_beside_a_dtype_or_a_gpu(self) -> None:
        with pytest.raises(InputError, match="exclude each other"):
            load_model("offline:e5-small", precision="bf16", dtype="bfloat16")
        with pytest.raises(InputError, match="not on cuda:0"):
            base.check_precision("bf16", "float32", "cuda:0")

    def test_other_families_and_heads(self) -> None:
        for family in ("seq2seq", "decoder"):
            with pytest.raises(InputError, match="takes no precision"):
                FamilyOptions(precision="bf16").check(family, "model")
        with pytest.raises(InputError, match="a head does not go with"):
            FamilyOptions(precision="bf16", head="mlm").check("encoder", "model")

    def test_no_openvino(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openvino", None)
        for form in (form for form in FORMS if form.startswith("openvino")):
            with pytest.raises(ModelError, match=r"needs the package openvino\. .*'align-eval\[openvino\]'"):
                PRECISIONS.get(form).require()

    def test_no_bfloat16(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in ("amx_tile", "avx512_bf16", "arm_bf16"):
            monkeypatch.setattr(torch.cpu, f"_is_{kind}_supported", lambda: False, raising=False)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_device_supported", lambda _: False, raising=False)
        with pytest.raises(ModelError, match="no bfloat16 products"):
            base.require_bfloat16("bf16")

    def test_simalign(self, tiny: Encoder) -> None:
        encoder = reduced(tiny, "bf16")
        with pytest.raises(InputError, match="float32 only"):
            make_aligner(AlignerSettings(encoder, ("simalign:argmax",)))


def test_the_import_of_openvino_finds_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    with openvino_engine._silent(), pytest.raises(ImportError):
        __import__("openvino_telemetry")
    assert "openvino_telemetry" not in sys.modules


def test_signature(tiny: Encoder) -> None:
    aligner = make_aligner(AlignerSettings(reduced(tiny, "bf16"), layers=(2,)))
    assert aligner.describe()["dtype"] == "bf16"
    assert make_aligner(AlignerSettings(tiny, layers=(2,))).describe()["dtype"] == "float32"


def test_int8_products_do_not_overflow_nor_depend_on_their_batch() -> None:
    """Inputs and weights all at their greatest: 512 products of 127 x 63, where 16 bits would saturate."""
    plain = Linear(torch.full((3, 512), 0.5), torch.tensor([0.0, 1.0, -2.0]))
    product = Int8Linear(plain, torch.full((512,), 2.0))
    x = torch.full((4, 512), 2.0)
    x[1] *= 1e-3
    x[2, ::2] *= -1
    torch.testing.assert_close(product(x), plain(x), rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(product(x[1:2]), product(x)[1:2], rtol=0, atol=0)
    assert not torch.isfinite(product(torch.full((1, 512), float("nan")))).any()


def test_int8_products_are_near_those_of_float32_beside_large_inputs() -> None:
    generator = torch.Generator().manual_seed(3)
    plain = Linear(torch.randn(96, 64, generator=generator), torch.randn(96, generator=generator))
    x = torch.randn(50, 64, generator=generator)
    x[:, 5] *= 40
    found = Int8Linear(plain, x.abs().amax(dim=0))(x)
    assert float((found - plain(x)).norm() / plain(x).norm()) < 0.02


@pytest.mark.parametrize("form", [name for name in FORMS if PRECISIONS.get(name).unpadded])
def test_unpadded_is_padded(tiny: Encoder, form: str) -> None:
    encoder = reduced(tiny, form)
    ids = tiny.tokenize(SENTENCES).ids
    unpadded = encoder.encode(ids, [2, 4, 0])
    encoder._packed = None
    for a, b in zip(unpadded, encoder.encode(ids, [2, 4, 0]), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.05)


def test_int8_without_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align_eval.models.reduced.int8.ENGINE", "none")
    with pytest.raises(ModelError, match=r"int8: torch has no 8-bit products \(none\)"):
        PRECISIONS.get("int8").require()


def test_quantise_by_hand() -> None:
    weight = np.array([[1.0, -4.0], [0.5, 2.0]], dtype=np.float32)
    smooth, limit, rounded, scales = quantise(weight, np.array([16.0, 1.0], dtype=np.float32))
    np.testing.assert_allclose(smooth, [4.0, 0.5])  # sqrt(16 / 1), sqrt(1 / 4)
    assert limit == 4.0  # 16 / 4; the other is 1 / 0.5
    np.testing.assert_allclose(scales, [4 / 127, 2 / 127])  # evened out: [[4, -2], [2, 1]]
    assert rounded.tolist() == [[127, -64], [127, 64]]


def test_quantise_keeps_the_product() -> None:
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(48, 32)).astype(np.float32)
    x = rng.normal(size=(200, 32)).astype(np.float32)
    x[:, 3] *= 60  # one input much larger than the rest
    smooth, limit, rounded, scales = quantise(weight, np.abs(x).max(axis=0))
    given = np.rint(x / smooth * (127 / limit)) * (limit / 127)
    found = given @ (rounded * scales[:, None]).T
    plain = np.rint(x * (127 / np.abs(x).max())) * (np.abs(x).max() / 127)
    exact = x @ weight.T
    error, error_plain = (float(np.abs(y - exact).mean()) for y in (found, plain @ weight.T))
    assert error < 0.25 * error_plain


def test_ranges_are_measured_once(tiny: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, measured = read_blocks(tiny), []
    real = calibration.measure
    monkeypatch.setattr(calibration, "measure", lambda *given: measured.append(1) or real(*given))
    first = {key: size.clone() for key, size in calibration.input_ranges(tiny, blocks).items()}
    again = calibration.input_ranges(tiny, blocks)
    assert len(measured) == 1
    assert sorted(first) == sorted(f"{k}.{name}" for k in range(4) for name in ("qkv", "out", "up", "down"))
    assert (len(first["0.qkv"]), len(first["0.down"])) == (64, 96)
    assert all(torch.equal(first[key], again[key]) for key in first)
    file = calibration._folder(tiny, blocks) / "ranges.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")  # damaged: the manifest tells
    mended = calibration.input_ranges(tiny, blocks)
    assert len(measured) == 2
    assert all(torch.equal(first[key], mended[key]) for key in first)


@pytest.mark.model
@pytest.mark.xdist_group("e5")
@pytest.mark.parametrize(
    ("form", "same", "change"),
    [
        ("bf16", 0.995, 0.2),
        ("int16", 0.998, 0.1),
        ("int8", 0.985, 0.5),
        ("openvino-bf16", 0.995, 0.5),
        ("openvino-int8", 0.98, 0.7),
    ],
)
def test_links_of_the_real_model(e5: Encoder, form: str, same: float, change: float) -> None:
    """One link of these sets of 40 pairs is 0.1 points of AER."""
    encoder = reduced(e5, form)
    for name in ("mini-ende", "mini-enfr"):
        testset = load_testset(name)
        found: list[Any] = []
        for one in (e5, encoder):
            aligner = make_aligner(AlignerSettings(one, ("argmax",), (7,)))
            (links,) = aligner.align_all(testset.pairs).values()
            found.append((score(testset, links, resamples=0).aer, [set(pair) for pair in links]))
        (aer, full), (aer_reduced, links) = found
        both = 2 * sum(len(a & b) for a, b in zip(full, links, strict=True))
        assert both / sum(len(a) + len(b) for a, b in zip(full, links, strict=True)) > same
        assert abs(aer - aer_reduced) <= change, (aer, aer_reduced)
