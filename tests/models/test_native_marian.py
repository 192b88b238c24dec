"""Models in Marian's own format: the files by bytes written here, SSRU by hand, and the real students where added."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import align_eval as ae
from align_eval.errors import FormatError, InputError, ModelError
from align_eval.models.native_marian import native_files, positions, read_arrays
from align_eval.models.offline import BERGAMOT_ENPT
from align_eval.models.ssru import SSRU

WIDTH, INNER, HEADS = 16, 24, 4
YML = """\
type: transformer
dim-emb: 16
enc-depth: 1
dec-depth: 2
dec-cell: ssru
transformer-decoder-autoreg: {autoreg}
transformer-dim-ffn: 24
transformer-heads: 4
transformer-postprocess: {post}
transformer-preprocess: ""
tied-embeddings-all: true
"""
TEXT = ["the dog sleeps in the garden", "the cat sees a dog", "a garden is green", "the cat is in the house"]


def arrays_of(size: int, *, autoreg: str = "rnn", post: str = "dan") -> dict[str, np.ndarray]:
    """Random weights by Marian's names."""
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    out = {"Wemb": normal(size, WIDTH), "decoder_ff_logit_out_b": normal(1, size)}

    def norm(name: str) -> None:
        out[f"{name}_ln_scale"], out[f"{name}_ln_bias"] = 1 + normal(1, WIDTH), normal(1, WIDTH)

    def attention(name: str) -> None:
        for letter in "qkvo":
            out[f"{name}_W{letter}"], out[f"{name}_b{letter}"] = normal(WIDTH, WIDTH), normal(1, WIDTH)
        norm(f"{name}_Wo")

    for layer in ("encoder_l1", "decoder_l1", "decoder_l2"):
        if layer.startswith("encoder") or autoreg != "rnn":
            attention(f"{layer}_self")
        else:
            out[f"{layer}_rnn_W"], out[f"{layer}_rnn_Wf"] = normal(WIDTH, WIDTH), normal(WIDTH, WIDTH)
            out[f"{layer}_rnn_bf"] = normal(1, WIDTH)
            norm(f"{layer}_rnn_ffn")
        if layer.startswith("decoder"):
            attention(f"{layer}_context")
        out[f"{layer}_ffn_W1"], out[f"{layer}_ffn_b1"] = normal(WIDTH, INNER), normal(1, INNER)
        out[f"{layer}_ffn_W2"], out[f"{layer}_ffn_b2"] = normal(INNER, WIDTH), normal(1, WIDTH)
        norm(f"{layer}_ffn_ffn")
    text = YML.format(autoreg=autoreg, post=post).encode() + b"\0"
    return {**out, "special:model.yml": np.frombuffer(text, np.int8)}


def bin_of(arrays: dict[str, np.ndarray], *, integers: bool = False) -> bytes:
    """A ``.bin`` file; with ``integers`` weights are 8-bit, linear ones transposed, with their factor at the end."""
    names, shapes, contents, headers = b"", b"", b"", b""
    for name, array in arrays.items():
        content, kind = array.tobytes(), 0x0101 if array.dtype == np.int8 else 0x0404
        if (integers and "_W" in name and array.ndim == 2 and not name.endswith(("scale", "bias"))) or (
            name == "Wemb" and integers
        ):
            factor = np.float32(127 / np.abs(array).max())
            numbers = np.round(array * factor).astype(np.int8)
            content = (numbers if name == "Wemb" else numbers.T).tobytes() + factor.tobytes() + b"\0" * 252
            kind = 0x4101
        headers += struct.pack("<QQQQ", len(name) + 1, kind, array.ndim, len(content))
        names += name.encode() + b"\0"
        shapes += struct.pack(f"<{array.ndim}i", *array.shape)
        contents += content
    start = struct.pack("<QQ", 1, len(arrays)) + headers + names + shapes
    offset = -(len(start) + 8) % 256
    return start + struct.pack("<Q", offset) + b"\0" * offset + contents


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sentencepiece

    prefix = tmp_path_factory.mktemp("spm") / "pieces"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 5), model_prefix=str(prefix), vocab_size=30, eos_id=0, unk_id=1, bos_id=-1,
        pad_id=-1, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    return prefix.with_suffix(".model")


def size_of(vocabulary: Path) -> int:
    import sentencepiece

    return int(sentencepiece.SentencePieceProcessor(str(vocabulary)).GetPieceSize())


def folder_of(tmp_path: Path, vocabulary: Path, data: bytes, name: str = "model.test.bin") -> str:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)
    (tmp_path / "vocab.test.spm").write_bytes(vocabulary.read_bytes())
    return str(tmp_path)


PAIR = ae.SentencePair("1", ("the", "dog", "sleeps"), ("a", "cat", "is", "green"))


def attention_of(folder: str) -> Any:
    (found,) = ae.attention_maps(ae.load_model(folder, family="seq2seq"), [PAIR])
    return found.values


class TestFormats:
    def test_bin_and_npz_give_the_same(self, tmp_path: Path, vocabulary: Path) -> None:
        arrays = arrays_of(size_of(vocabulary))
        one = attention_of(folder_of(tmp_path / "bin", vocabulary, bin_of(arrays)))
        (tmp_path / "npz").mkdir()
        with open(tmp_path / "npz" / "model.npz", "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        (tmp_path / "npz" / "vocab.test.spm").write_bytes(vocabulary.read_bytes())
        torch.testing.assert_close(attention_of(str(tmp_path / "npz")), one)
        assert one.shape[0] == 2 * HEADS  # of two layers

    def test_integers_by_hand(self, tmp_path: Path) -> None:
        weight = np.array([[1.0, -0.5, 0.25], [0.0, 0.5, -1.0]], np.float32)
        (tmp_path / "m.bin").write_bytes(bin_of({"a_W": weight, "Wemb": weight}, integers=True))
        found = read_arrays(tmp_path / "m.bin")
        np.testing.assert_allclose(found["a_W"], np.round(weight * 127) / 127, atol=1e-7)
        np.testing.assert_allclose(found["Wemb"], np.round(weight * 127) / 127, atol=1e-7)

    def test_a_decoder_with_attention(self, tmp_path: Path, vocabulary: Path) -> None:
        data = bin_of(arrays_of(size_of(vocabulary), autoreg="self-attention"))
        model = ae.load_model(folder_of(tmp_path, vocabulary, data))
        assert model.layers == 2
        assert "SSRU" not in repr(model.model)

    def test_positions(self) -> None:
        """Sines in the first half, cosines in the second; the lowest frequency is 1e-4."""
        found = positions(3, 8)
        np.testing.assert_allclose(
            found[2, :4], np.sin(2 * np.array([1, 10 ** (-4 / 3), 10 ** (-8 / 3), 1e-4])), rtol=1e-6
        )
        np.testing.assert_allclose(found[0], [0, 0, 0, 0, 1, 1, 1, 1])


class TestSSRU:
    def test_by_hand(self) -> None:
        unit = SSRU(1)
        with torch.no_grad():
            unit.value.weight.fill_(2.0)
            unit.forget.weight.fill_(0.0)
            unit.forget.bias.fill_(np.log(3.0))  # the gate is 3 / 4
        out, _ = unit(torch.tensor([[[1.0], [-4.0], [2.0]]]))
        first = 2 / 4
        second = 0.75 * first - 8 / 4
        third = 0.75 * second + 4 / 4
        assert out[0, :, 0].tolist() == pytest.approx([first, max(second, 0), max(third, 0)])

    def test_a_cache_changes_nothing(self, tmp_path: Path, vocabulary: Path) -> None:
        """Step by step and with beams that are reordered, as from the beginning at each step."""
        model = ae.load_model(folder_of(tmp_path, vocabulary, bin_of(arrays_of(size_of(vocabulary))))).model
        ids = torch.tensor([[5, 6, 7, 0], [8, 9, 0, len(arrays_of(3))]]).clamp(max=model.config.pad_token_id)
        for beams in (1, 4):
            outs = [
                model.generate(ids, num_beams=beams, max_new_tokens=12, use_cache=cached, do_sample=False)
                for cached in (True, False)
            ]
            assert torch.equal(*outs)

    def test_what_reads_self_attention_says_so(self, tmp_path: Path, vocabulary: Path) -> None:
        model = ae.load_model(folder_of(tmp_path, vocabulary, bin_of(arrays_of(size_of(vocabulary)))))
        with pytest.raises(ModelError, match="no decoder-self attention"):
            ae.make_attribution("alti", model)


class TestBadInput:
    def test_cut_short(self, tmp_path: Path, vocabulary: Path) -> None:
        data = bin_of(arrays_of(size_of(vocabulary)))
        for end in (10, 100, len(data) // 2, len(data) - 1):
            with pytest.raises(FormatError, match="cut short or no model of Marian"):
                ae.load_model(folder_of(tmp_path / str(end), vocabulary, data[:end]))

    def test_of_one_kind_of_processor(self, tmp_path: Path, vocabulary: Path) -> None:
        data = bin_of({"Wemb": np.zeros((2, 2), np.float32)})
        data = data.replace(struct.pack("<QQQQ", 5, 0x0404, 2, 16), struct.pack("<QQQQ", 5, 0x1801, 2, 16))
        with pytest.raises(FormatError, match="0x1801"):
            ae.load_model(folder_of(tmp_path, vocabulary, data))

    def test_another_architecture(self, tmp_path: Path, vocabulary: Path) -> None:
        arrays = arrays_of(size_of(vocabulary))
        text = arrays["special:model.yml"].tobytes().replace(b"type: transformer", b"type: s2s")
        arrays["special:model.yml"] = np.frombuffer(text, np.int8)
        with pytest.raises(ModelError, match="type: s2s, which is not read"):
            ae.load_model(folder_of(tmp_path / "a", vocabulary, bin_of(arrays)))
        data = bin_of(arrays_of(size_of(vocabulary), post="da"))
        with pytest.raises(ModelError, match="pre-norm"):
            ae.load_model(folder_of(tmp_path / "b", vocabulary, data))

    def test_another_vocabulary(self, tmp_path: Path, vocabulary: Path) -> None:
        with pytest.raises(ModelError, match=r"pieces, model\.test\.bin embeddings for 7"):
            ae.load_model(folder_of(tmp_path / "a", vocabulary, bin_of(arrays_of(7))))
        folder = folder_of(tmp_path / "b", vocabulary, bin_of(arrays_of(7)))
        (Path(folder) / "vocab.test.spm").write_bytes(b"none")
        with pytest.raises(FormatError, match="no SentencePiece vocabulary"):
            ae.load_model(folder)

    def test_weights_that_lack(self, tmp_path: Path, vocabulary: Path) -> None:
        arrays = arrays_of(size_of(vocabulary))
        del arrays["decoder_l2_rnn_Wf"]
        with pytest.raises(ModelError, match="decoder_l2_rnn_Wf"):
            ae.load_model(folder_of(tmp_path, vocabulary, bin_of(arrays)))

    def test_a_pickle_in_npz(self, tmp_path: Path, vocabulary: Path) -> None:
        with open(tmp_path / "model.npz", "wb") as stream:
            np.savez(stream, Wemb=np.array([{"a": 1}], dtype=object))
        (tmp_path / "vocab.test.spm").write_bytes(vocabulary.read_bytes())
        with pytest.raises(FormatError, match="npz"):
            ae.load_model(str(tmp_path))

    def test_several_models(self, tmp_path: Path) -> None:
        for name in ("model.a.bin", "model.b.bin", "vocab.spm"):
            (tmp_path / name).touch()
        with pytest.raises(InputError, match=r"model\.a\.bin, model\.b\.bin, vocab\.spm"):
            native_files(tmp_path)

    def test_another_family(self, tmp_path: Path, vocabulary: Path) -> None:
        with pytest.raises(ModelError, match="is a seq2seq model"):
            ae.load_model(folder_of(tmp_path, vocabulary, bin_of(arrays_of(size_of(vocabulary)))), family="encoder")


@pytest.mark.model
@pytest.mark.skipif(
    BERGAMOT_ENPT.state() != "ready", reason="offline:bergamot-enpt is not in the cache: align-eval models add"
)
class TestRealModel:
    def test_it_translates(self) -> None:
        from align_eval.models.translation import Decoding, Translator

        model = ae.load_model("offline:bergamot-enpt")
        for beam in (1, 4):
            (found,) = Translator(model, Decoding(beam=beam)).translate(
                ["The children were playing happily in the garden."]
            )
            assert found.text == "As crianças estavam brincando alegremente no jardim."

    @pytest.mark.shared
    def test_the_guided_head_is_found(self, gold_folder: Path) -> None:
        model = ae.load_model("offline:bergamot-enpt")
        found = ae.sweep_testset(ae.load_testset("xl-wa-pt-test"), model, modes=["awo"])
        order = np.argsort(found.aer())
        layer, head, _ = found.views[int(order[0])]
        assert (layer, head) == (2, 1)
        singles = [float(found.aer()[k]) for k in order if isinstance(found.views[int(k)][1], int)]
        assert singles[1] - singles[0] > 6
