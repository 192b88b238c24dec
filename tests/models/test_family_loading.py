"""``load_model`` gives each family its own class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models import load_model
from align_eval.models.decoder import Decoder
from align_eval.models.encoder import Encoder
from align_eval.models.seq2seq import Seq2Seq
from align_eval.signals.attention import attention_maps
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
    assert fresh.query_labels == known.query_labels
    assert torch.allclose(fresh.values, known.values, atol=1e-6)
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
