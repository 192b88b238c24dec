"""Weights in pytorch_model.bin: what loads, what the three commands do with it, and what is refused."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import align_eval as ae
from align_eval.errors import MissingFileError, ModelError
from align_eval.links.table import LinkTable
from align_eval.models import describe_model, load_model
from align_eval.models.translation import Decoding
from align_eval.runs.parallel_text import open_text
from align_eval.runs.sweep import sweep_testset
from align_eval.translation.translate import TranslateSettings, translate_and_score
from tests.models import families
from tests.models.bins import INDEX, MALICIOUS, malicious, to_bin
from tests.models.tiny import write_model, write_tokenizer

PAIRS = [("das haus ist klein", "the house is small"), ("nicht klein", "big and small words")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of tiny models in safetensors: what the package computes of them is what ``.bin`` must give."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("marian", "m2m_100"):
        model, tokenizer = families.parts(kind, length=200)
        model.save_pretrained(folder / kind)
        tokenizer.save_pretrained(folder / kind)
    write_model(folder / "mbert", "bert")
    return folder


@pytest.fixture(scope="module")
def few() -> Any:
    whole = ae.load_testset("mini-ende")
    pairs = whole.pairs[:4]
    gold = LinkTable.from_links([p.gold for p in pairs if p.gold is not None])
    return SimpleNamespace(name="few", checksum="0" * 64, base=0, pairs=pairs, gold=gold)


@pytest.fixture
def copy(models: Path, tmp_path: Path) -> Any:
    return lambda kind: Path(shutil.copytree(models / kind, tmp_path / kind))


def old_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """As bert-base-multilingual-cased has it: a prefix, gamma and beta, the pre-training heads, position ids."""
    out = {}
    for key, tensor in tensors.items():
        old = key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        out[f"bert.{old}"] = tensor
    return {**out, "cls.seq_relationship.weight": torch.zeros(2, 32), "cls.predictions.bias": torch.zeros(60)}


def of_awesome_align(tensors: dict[str, Any]) -> dict[str, Any]:
    """As awesome-align-with-co has it: a BertForMaskedLM with heads that nothing here reads, and position ids."""
    extra = {"bert.embeddings.position_ids": torch.arange(80)[None], "psi_cls.transform.weight": torch.zeros(3, 32)}
    return {**tensors, **extra, "cls.seq_relationship.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("form", "shards"),
    [("plain", 1), ("plain", 3), ("old names", 1), ("before zip", 1), ("before zip", 2), ("float16", 2)],
)
def test_an_encoder_aligns_as_from_safetensors(copy: Any, models: Path, form: str, shards: int) -> None:
    def half(tensors: dict[str, Any]) -> dict[str, Any]:
        return {key: tensor.to(torch.float16) for key, tensor in tensors.items()}

    change = {"old names": old_names, "float16": half}.get(form, dict)
    folder = to_bin(copy("mbert"), shards, change, _use_new_zipfile_serialization=form != "before zip")
    encoder = load_model(str(folder))
    wanted = load_model(str(models / "mbert"))
    assert ae.align(PAIRS, encoder, layer=3)[0] == ae.align(PAIRS, wanted, layer=3)[0]
    if form != "float16":
        for key, tensor in wanted.model.state_dict().items():
            assert torch.equal(encoder.model.state_dict()[key], tensor), key
    assert encoder.revision != wanted.revision  # other files


@pytest.mark.parametrize("shards", [1, 2])
def test_awesome_align(tmp_path: Path, shards: int) -> None:
    import transformers as t

    folder = tmp_path / "awesome"
    tokenizer = write_tokenizer(folder, "bert")
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    torch.manual_seed(3)
    config = t.BertConfig(vocab_size=len(tokenizer), max_position_embeddings=80, **shape)
    model = t.BertForMaskedLM(config)
    model.save_pretrained(folder)
    encoder = load_model(str(to_bin(folder, shards, of_awesome_align)))
    assert encoder.masked_lm is not None
    for key, tensor in model.state_dict().items():
        assert torch.equal(encoder.masked_lm.state_dict()[key], tensor), key
    assert len(ae.align(PAIRS, encoder, "softmax", layer=2)) == 2


@pytest.mark.parametrize(("kind", "shards"), [("marian", 1), ("marian", 2), ("m2m_100", 1), ("m2m_100", 3)])
def test_translation_models(copy: Any, models: Path, few: Any, kind: str, shards: int) -> None:
    folder = to_bin(copy(kind), shards)
    languages = families.languages(kind)
    model, wanted = (load_model(str(path), **languages) for path in (folder, models / kind))
    for key, tensor in wanted.model.state_dict().items():
        assert torch.equal(model.model.state_dict()[key], tensor), key
    assert (sweep_testset(few, model).counts == sweep_testset(few, wanted).counts).all()
    settings = TranslateSettings(decoding=Decoding(1, 6), aligner=None, resamples=20)
    text = open_text("mini-ende", reverse=True, limit=5)
    done = [translate_and_score(text, [str(path)], settings)[0] for path in (folder, models / kind)]
    assert [t.text for t in done[0].translations] == [t.text for t in done[1].translations]


def test_safetensors_come_first(copy: Any) -> None:
    folder = copy("mbert")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert load_model(str(folder)).layers == 4


@pytest.mark.parametrize(("kind", "shards"), [*((kind, 1) for kind in MALICIOUS), ("zip", 2), ("eval", 3)])
def test_what_could_run_code_is_refused(copy: Any, tmp_path: Path, kind: str, shards: int) -> None:
    folder = to_bin(copy("mbert"), shards)
    bad = max(folder.glob("pytorch_model*.bin"))
    mark = tmp_path / "ran"
    bad.write_bytes(malicious(kind, torch.load(bad, weights_only=True), mark))
    with pytest.raises(ModelError, match=r"weights are refused|weights_only=True, or is cut") as caught:
        load_model(str(folder))
    assert caught.value.file == str(bad)
    assert "safetensors" in str(caught.value) or "download" in str(caught.value)
    assert "weights_only=False" not in str(caught.value)
    assert not mark.exists()


def test_pickles_beside_a_model_are_left_alone(copy: Any, tmp_path: Path) -> None:
    folder, mark = copy("mbert"), tmp_path / "ran"
    for name in ("tokenizer.pkl", "vocab.pkl", "vocab.bin", "training_args.bin", "optimizer.pt", "rng_state.pth"):
        (folder / name).write_bytes(malicious("zip", {}, mark))
    load_model(str(folder))
    describe_model(str(folder))
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0, 1, 0.5])
def test_damaged_bin(copy: Any, keep: float) -> None:
    folder = to_bin(copy("mbert"))
    data = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(data[: int(len(data) * keep) if keep < 1 else 1])
    with pytest.raises(ModelError, match="cut or damaged"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["../other.bin", "/etc/passwd", "x\\y.bin", "model.safetensors", 3])
def test_an_index_cannot_leave_its_folder(copy: Any, name: Any) -> None:
    folder = to_bin(copy("mbert"), 2)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}), "utf-8")
    with pytest.raises(ModelError, match=r"index of weights|no index"):
        load_model(str(folder))


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_missing_shard(copy: Any, form: str) -> None:
    folder = copy("mbert")
    if form == "bin":
        to_bin(folder, 3)
        gone = "pytorch_model-00002-of-00003.bin"
        (folder / gone).unlink()
    else:
        gone = "model-00002-of-00002.safetensors"
        (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": gone}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(ModelError, match=f"incomplete: {gone} is missing"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs(copy: Any, name: str) -> None:
    folder = copy("mbert")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(ModelError, match="git lfs pull"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["tf_model.h5"], "TensorFlow alone.*from_tf=True"),
        (["flax_model.msgpack"], "Flax alone.*from_flax=True"),
        (["model-q4_k.gguf"], r"llama\.cpp.*Name the model that it was made from"),
        (["model.onnx"], "ONNX Runtime alone.*exported from"),
        (["openvino_model.xml", "openvino_model.bin"], "OpenVINO alone"),
        (["model.bin", "shared_vocabulary.json"], "CTranslate2"),
        (["model.fp16.safetensors"], "but model.fp16.safetensors. Rename"),
        (["checkpoint_best.pt"], "form of its own"),
        (["adapter_config.json", "adapter_model.safetensors"], "PEFT adapter of some/base.*merge_and_unload"),
        (["model.safetensors", "adapter_config.json"], "PEFT adapter.*or remove adapter_config.json"),
        ([], "no weights"),
    ],
)
@pytest.mark.parametrize("config", [True, False])
def test_other_forms_of_weights(copy: Any, files: list[str], said: str, config: bool) -> None:
    folder = copy("mbert")
    (folder / "model.safetensors").unlink()
    if not config:
        (folder / "config.json").unlink()
        said = said.replace(".*or remove adapter_config.json", "").replace("no weights", r"no config\.json")
    for name in files:
        (folder / name).write_text(json.dumps({"base_model_name_or_path": "some/base"}), "utf-8")
    with pytest.raises((ModelError, MissingFileError), match=said) as caught:
        load_model(str(folder))
    assert "update" not in str(caught.value).lower()


def test_sentence_transformers(copy: Any, tmp_path: Path) -> None:
    outer = tmp_path / "st"
    outer.mkdir()
    shutil.move(copy("mbert"), outer / "0_Transformer")
    modules = [
        {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (outer / "modules.json").write_text(json.dumps(modules), "utf-8")
    assert load_model(str(outer)).path == outer / "0_Transformer"
    for path in ("", "../mbert", "/etc", 7):
        (outer / "modules.json").write_text(json.dumps([{**modules[0], "path": path}]), "utf-8")
        with pytest.raises(MissingFileError, match=r"Name the folder inside it: .*0_Transformer"):
            load_model(str(outer))


def test_other_folders(tmp_path: Path, copy: Any) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="the folder is empty"):
        load_model(str(tmp_path / "empty"))
    folder = copy("mbert")
    with pytest.raises(MissingFileError, match="Name the folder that it lies in"):
        load_model(str(folder / "model.safetensors"))
    (folder / "config.json").unlink()
    with pytest.raises(MissingFileError, match=r"weights but no config\.json"):
        load_model(str(folder))


def test_no_thread_is_left(copy: Any) -> None:
    """``transformers`` asks a bot of the hub for a conversion, on a thread, when it fetches ``.bin`` itself."""
    before = threading.active_count()
    load_model(str(to_bin(copy("mbert"))))
    assert threading.active_count() <= before
