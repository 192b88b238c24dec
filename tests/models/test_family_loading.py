"""``load_model`` gives each family its own class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from align_eval.attribution import make_attribution
from align_eval.attribution.collect import attention_maps
from align_eval.attribution.text import generate_text, read_text
from align_eval.attribution.text_layers import lens_depth
from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models import load_model
from align_eval.models.decoder import Decoder
from align_eval.models.encoder import Encoder
from align_eval.models.seq2seq import Seq2Seq
from align_eval.models.vectors import vector_models
from tests.models import families


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("marian", Seq2Seq), ("m2m_100", Seq2Seq), ("nllb", Seq2Seq), ("mbart", Seq2Seq), ("t5", Seq2Seq),
     ("bart", Seq2Seq), ("llama", Decoder), ("gpt2", Decoder), ("bert", Encoder)],
)  # fmt: skip
def test_saved_models_come_back(tmp_path: Path, kind: str, wanted: type) -> None:
    model, tokenizer = families.parts(kind)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path), **families.languages(kind))
    assert type(loaded) is wanted
    family = loaded.family
    assert type(load_model(str(tmp_path), family=family)) is wanted
    (fresh,) = attention_maps(loaded, families.pairs()[:1])
    (known,) = attention_maps(families.build(kind), families.pairs()[:1])
    assert fresh.queries.units(0) == known.queries.units(0)
    assert torch.allclose(fresh.by_head(), known.by_head(), atol=1e-6)
    for other in {"encoder", "seq2seq", "decoder"} - {family}:
        with pytest.raises(ModelError, match=f"is a {family} model|is an? {family}"):
            load_model(str(tmp_path), family=other)


def test_family_and_options_are_checked(tmp_path: Path) -> None:
    model, tokenizer = families.parts("llama")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UnknownNameError, match="'decoder'"):
        load_model(str(tmp_path), family="decodr")
    with pytest.raises(InputError, match="takes no source_prefix"):
        load_model(str(tmp_path), source_prefix="translate: ")
    named = load_model(str(tmp_path), family="decoder", source_language="de", target_language="en", dtype="float64")
    assert named.template.render(families.pairs()[0]).text.startswith("German: das")
    assert named.dtype == torch.float64


def test_an_embedding_model_is_published_without_its_last_layer(tmp_path: Path) -> None:
    """As Qwen3-Embedding is: vectors and attention are whole, words are not predicted."""
    model, tokenizer = families.parts("llama")
    model.model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert not config["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForCausalLM"]}), "utf-8")
    tokenizer.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    whole = families.build("llama")
    (fresh,), (known,) = (attention_maps(one, families.pairs()[:1]) for one in (loaded, whole))
    assert torch.allclose(fresh.by_head(), known.by_head(), atol=1e-6)
    sentence = [["das", "Haus"]]
    (own,), (other,) = (
        view.encode(view.tokenize(sentence).ids, [0, 2, 3])
        for view in (vector_models(loaded)[0], vector_models(whole)[0])
    )
    assert torch.allclose(own, other, atol=1e-6)
    with pytest.raises(ModelError, match="predicts no words"):
        attention_maps(make_attribution("saliency", loaded), families.pairs()[:1])
    with pytest.raises(ModelError, match="without the layer that gives them out"):
        generate_text(loaded, "das Haus", 2)
    with pytest.raises(ModelError, match="without the layer that gives them out"):
        lens_depth(loaded, read_text(loaded, "das Haus"))
