"""Names of models, and what goes wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from align_eval.errors import InputError, MissingFileError, ModelError, UnknownNameError
from align_eval.models import describe_model, load_model
from tests.models.tiny import write_model, write_tokenizer


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_model(tmp_path / "bert", "bert")


def test_importing_needs_no_torch() -> None:
    code = (
        "import sys, align_eval.models as m; m.load_model; m.MODELS.names(); assert 'Encoder' in dir(m);"
        "print([x for x in ('torch', 'transformers', 'numpy', 'tokenizers') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_offline_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'e5-small'"):
        load_model("offline:e5-smal")


@pytest.mark.parametrize("name", ["./none", "/none/such", "a/b/c", "~/none-such-folder", ""])
def test_no_such_folder(name: str) -> None:
    with pytest.raises(MissingFileError, match="no such model folder"):
        load_model(name)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("", "utf-8")
    with pytest.raises(MissingFileError):
        load_model(str(tmp_path / "x"))


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **named: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    start = time.monotonic()
    for ask in (load_model, describe_model):
        with pytest.raises(ModelError, match=r"there is no network to fetch it.*models list"):
            ask("nobody/no-such-model-of-tests")
    with pytest.raises(ModelError, match="Did you mean offline:e5-small"):
        load_model("e5-smaal")
    assert time.monotonic() - start < 20


def test_dtype_and_device(bert: Path) -> None:
    with pytest.raises(InputError, match="unknown dtype 'int8'"):
        load_model(str(bert), dtype="int8")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        load_model(str(bert), device="gpu")
    with pytest.raises(ModelError, match="torch sees no device cuda:99"):
        load_model(str(bert), device="cuda:99")
    with pytest.raises(InputError, match="one revision"):
        load_model("offline:e5-small", revision="main")
    assert load_model(str(bert), device="auto").device.type in ("cpu", "cuda", "mps")


def test_same_weights_same_revision(tmp_path: Path, bert: Path) -> None:
    again = write_model(tmp_path / "again", "bert")
    assert load_model(str(bert)).revision == load_model(str(again)).revision


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_the_revision_covers_configuration_and_tokenizer(bert: Path, name: str) -> None:
    before = describe_model(str(bert)).revision
    found = json.loads((bert / name).read_text("utf-8")) if (bert / name).is_file() else {}
    (bert / name).write_text(json.dumps({**found, "layer_norm_eps": 0.5}), "utf-8")
    assert describe_model(str(bert)).revision != before
    assert len(before) == 12


@pytest.mark.parametrize("name", ["README.md", "trainer_state.json", "train_results.json", "optimizer.pt", "x.log"])
def test_the_revision_leaves_out_what_is_not_loaded(bert: Path, name: str) -> None:
    before = describe_model(str(bert)).revision
    (bert / name).write_text("{}", "utf-8")
    assert describe_model(str(bert)).revision == before


def test_licence_of_the_card(bert: Path) -> None:
    (bert / "README.md").write_text("---\nlanguage: de\nlicense: mit\n---\n# A model\nlicense: none\n", "utf-8")
    assert load_model(str(bert)).licence == "mit"


def test_nothing_is_printed(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    load_model(str(bert))
    assert capfd.readouterr() == ("", "")


def test_missing_weights(bert: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(bert / "model.safetensors")
    del weights["encoder.layer.2.output.dense.weight"]
    save_file(weights, bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights that its config\.json asks for: encoder\.layer\.2"):
        load_model(str(bert))


def test_weights_of_another_shape(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text("utf-8"))
    (bert / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}), "utf-8")
    with pytest.raises(ModelError, match=r"12 weights of another shape than its config\.json says: encoder\.layer"):
        load_model(str(bert))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe{", b'{"a": 1'])
def test_damaged_files(bert: Path, name: str, content: bytes) -> None:
    (bert / name).write_bytes(content)
    with pytest.raises(ModelError, match="bert"):
        load_model(str(bert))


def test_slow_tokenizer(bert: Path) -> None:
    for path in bert.glob("tokenizer*"):
        path.unlink()
    config = {"tokenizer_class": "CanineTokenizer"}
    (bert / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="no fast tokenizer"):
        load_model(str(bert))


@pytest.mark.parametrize(
    ("kept", "lost"),
    [((), ("tokenizer.json", "tokenizer_config.json")), (("tokenizer_config.json",), ("tokenizer.json",))],
)
@pytest.mark.parametrize("tokenizer", ["BertTokenizer", "LlamaTokenizer", "XLMRobertaTokenizer"])
def test_a_folder_without_a_vocabulary(
    bert: Path, kept: tuple[str, ...], lost: tuple[str, ...], tokenizer: str
) -> None:
    """``transformers`` makes an empty tokenizer, without a word, and every word would be unknown."""
    for name in lost:
        (bert / name).unlink()
    for name in kept:
        (bert / name).write_text(json.dumps({"tokenizer_class": tokenizer}), "utf-8")
    with pytest.raises(ModelError, match="has no tokenizer: the files of its vocabulary are missing"):
        load_model(str(bert))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "roberta"])
def test_the_tokenizer_of_another_model(tmp_path: Path, kind: str) -> None:
    from transformers import AutoTokenizer

    folder = write_model(tmp_path / "m", kind)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    write_model(tmp_path / "m", kind, vocab_size=tokenizer.vocab_size - 3)
    with pytest.raises(ModelError, match=rf"has {tokenizer.vocab_size} tokens, and the model embeddings for"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "zorg"}, r"not supported \(zorg\).*Choose another model"),
        ({"model_type": None}, "names no model_type"),
        ({"model_type": "whisper", "is_encoder_decoder": True}, r"not supported \(Whisper\).*Choose a text model"),
        ({"model_type": "zorg", "auto_map": {"AutoConfig": "a.B", "AutoModel": "c.D"}}, "Pass --trust-remote-code"),
        ({"num_attention_heads": 5}, "not a multiple"),
        ({"num_hidden_layers": 6}, r"lacks 32 weights that its config\.json asks for: encoder\.layer"),
        ({"vocab_size": 20}, r"1 weights of another shape.*word_embeddings"),
    ],
)
def test_other_configurations(bert: Path, change: dict[str, object], said: str) -> None:
    config = {**json.loads((bert / "config.json").read_text("utf-8")), **change}
    config = {key: value for key, value in config.items() if value is not None}
    if "model_type" not in config:
        del config["architectures"]
    (bert / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match=said) as caught:
        load_model(str(bert))
    for word in ("update", "upgrade", "pip install", "attn_implementation", "from_pretrained"):
        assert word not in str(caught.value).lower()


def test_other_families(tmp_path: Path) -> None:
    import transformers as t

    decoder = tmp_path / "gpt"
    write_tokenizer(decoder, "roberta")
    t.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=300).save_pretrained(decoder)
    with pytest.raises(ModelError, match="is a decoder model"):
        load_model(str(decoder), family="encoder")
    assert describe_model(str(decoder)).family == "decoder"
    both = tmp_path / "t5"
    t.T5Config(num_layers=1, num_heads=2, d_model=8, vocab_size=300).save_pretrained(both)
    with pytest.raises(ModelError, match="is a seq2seq model"):
        load_model(str(both), family="encoder")


def test_describe_a_folder(bert: Path) -> None:
    found = describe_model(str(bert)).as_dict()
    assert {k: found[k] for k in ("family", "path", "layers", "heads", "hidden_size", "max_length", "licence")} == {
        "family": "encoder",
        "path": str(bert),
        "layers": 4,
        "heads": 4,
        "hidden_size": 32,
        "max_length": 80,
        "licence": "unknown",
    }
