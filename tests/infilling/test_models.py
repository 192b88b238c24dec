"""Models that fill: how they are told apart, what their decoder sees, and what others raise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from align_eval.attribution import ATTRIBUTIONS
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.errors import AlignEvalError, InputError, ModelError, UnknownNameError
from align_eval.infilling.probe import default_head, require_infiller
from align_eval.models import load_model
from align_eval.models.encoder import Encoder, PairEncoder
from align_eval.models.masked import InfillingSeq2Seq, MaskedEncoder, MaskedSeq2Seq
from align_eval.models.seq2seq import Seq2Seq
from tests.infilling.models import bert_folder, load, marian_folder
from tests.models.families import build, pairs


def outputs(model: Seq2Seq, change: int | None) -> torch.Tensor:
    """The logits of one pair, target sub-word ``change`` replaced by another."""
    (layout,) = model.lay_out(pairs()[1:2])
    ids = layout.inputs[1].copy()
    if change is not None:
        ids[change] = ids[0]
    with torch.no_grad():
        return model.forward([replace(layout, inputs=(layout.inputs[0], ids))]).logits[0]


def test_which_decoder_sees_what_comes_after() -> None:
    for which, sees in (("masked", True), ("causal", False), ("causal-masked", False)):
        model = load(which)
        before, after = outputs(model, None), outputs(model, 9)
        assert (float((before[:5] - after[:5]).abs().max()) > 1e-3) is sees, which
        assert float((before[-1] - after[-1]).abs().max()) > 1e-3


def test_kinds() -> None:
    masked, causal, late = load("masked"), load("causal"), load("causal-masked")
    assert type(masked) is MaskedSeq2Seq
    assert type(late) is InfillingSeq2Seq
    assert type(causal) is Seq2Seq
    assert masked.readings == ("own",)
    assert (masked.infill_reading, late.infill_reading, causal.infill_reading) == ("own", "awo", "")
    assert repr(masked).startswith("MaskedSeq2Seq(")
    asked = load_model(str(marian_folder()), target_language="en", decoder_mode="masked")
    assert type(asked) is MaskedSeq2Seq
    plain = load_model(str(marian_folder(decoder_mode="masked")), target_language="en", decoder_mode="causal")
    assert type(plain) is Seq2Seq


def test_masked_rows() -> None:
    model = load("masked")
    for maps, pair in zip(attention_maps(model, pairs()), pairs(), strict=True):
        assert maps.reading == "own"
        assert maps.queries.units(0)[-1] == "</s>"
        assert maps.queries.words[0][-1] == -1
        assert set(maps.queries.words[0][:-1].tolist()) == set(range(len(pair.target)))
        assert maps.keys.units(0)[0] == ">>en<<"
        assert torch.allclose(maps.by_head().sum(-1), torch.ones(()), atol=1e-5)
    batches = list(word_matrices(model, pairs()))
    assert sum(len(batch) for batch in batches) == len(pairs())
    assert {view.reading for view in batches[0].views} == {"own"}
    with pytest.raises(ModelError, match=r"no reading 'awi'.*own"):
        attention_maps(model, pairs(), reading="awi")


def test_marian_loads_the_folder_as_it_is() -> None:
    from transformers import MarianMTModel, MarianTokenizer

    folder = marian_folder(decoder_mode="masked")
    assert MarianMTModel.from_pretrained(folder).config.decoder_mode == "masked"
    assert MarianTokenizer.from_pretrained(folder).mask_token == "<mask>"


def test_a_decoder_that_keeps_a_causal_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    def causal(self: MaskedSeq2Seq, layouts: list) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[type-arg]
        return Seq2Seq._shift(self, layouts[0].inputs[1][None]), torch.ones(1, 3)

    monkeypatch.setattr(MaskedSeq2Seq, "decoder_inputs", causal)
    with pytest.raises(ModelError, match=r"adds a causal mask.*decoder_mode='causal-masked'"):
        load("masked")


def test_no_mask_token_and_unknown_modes() -> None:
    with pytest.raises(ModelError, match=r"no mask token.*tokenizer_config"):
        load_model(str(marian_folder(mask=False, decoder_mode="masked")), target_language="en")
    with pytest.raises(UnknownNameError, match="masked"):
        load_model(str(marian_folder()), decoder_mode="maskd")
    with pytest.raises(InputError, match="takes no decoder_mode"):
        load_model(str(bert_folder()), decoder_mode="masked")
    with pytest.raises(InputError, match="takes no head"):
        load_model(str(marian_folder()), head="mlm")
    with pytest.raises(UnknownNameError, match="mlm"):
        load_model(str(bert_folder()), head="lm")


def test_masked_encoder() -> None:
    model = load("bert")
    assert type(model) is MaskedEncoder
    assert (model.infill_reading, model.both_sides) == ("block-ts", True)
    (plain,) = attention_maps(PairEncoder(model.encoder), pairs()[:1], reading="block-ts")
    (headed,) = attention_maps(model, pairs()[:1], reading="block-ts")
    assert torch.equal(plain.values, headed.values)


def test_the_head_comes_by_itself_and_vectors_stay() -> None:
    encoder = load_model(str(bert_folder()))
    assert type(encoder) is Encoder
    assert encoder.masked_lm is not None
    assert encoder.masked_lm.base_model is encoder.model
    assert type(require_infiller(encoder)) is MaskedEncoder
    assert type(require_infiller(PairEncoder(encoder))) is MaskedEncoder
    from transformers import BertModel

    plain = Encoder("plain", BertModel.from_pretrained(bert_folder(), add_pooling_layer=False), encoder.tokenizer)
    ids = encoder.tokenize([["das", "kleine", "Haus"]]).ids
    (a,), (b,) = encoder.encode(ids, [1, 2]), plain.encode(ids, [1, 2])
    assert torch.allclose(a, b, atol=1e-6)


def test_untrained_heads_never_run() -> None:
    for kind in ("bert", "xlm-roberta"):
        with pytest.raises(ModelError, match=r"no trained head.*offline:tiny-deen-mask"):
            load_model(str(bert_folder(head=False, kind=kind)), head="mlm")
        with pytest.raises(ModelError, match="no trained head"):
            require_infiller(load_model(str(bert_folder(head=False, kind=kind))))


def test_a_head_that_is_claimed_but_missing(tmp_path: object) -> None:
    import json
    import shutil
    from pathlib import Path

    folder = Path(str(tmp_path)) / "claimed"
    shutil.copytree(bert_folder(head=False), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}), "utf-8")
    assert load_model(str(folder)).masked_lm is None
    with pytest.raises(ModelError, match="no trained head"):
        load_model(str(folder), head="mlm")


@pytest.mark.parametrize("kind", ["bart", "marian", "gpt2", "bert"])
def test_who_cannot_fill_says_what_can_be_done(kind: str) -> None:
    with pytest.raises(ModelError, match=r"offline:tiny-deen-mask.*attention_maps"):
        require_infiller(build(kind))


def test_a_model_with_a_mask_that_was_not_trained_to_fill() -> None:
    with pytest.raises(ModelError, match=r"never read a mask.*decoder_mode='masked'"):
        require_infiller(load("causal"))
    with pytest.raises(InputError, match="is no model"):
        require_infiller("offline:tiny-deen-mask")


def test_default_head() -> None:
    assert default_head(load("masked")) == (
        (1, "mean", "own"),
        "by rule: the mean over the heads of the last layer but one",
    )
    assert default_head(load("bert"))[0] == (2, "mean", "block-ts")
    guided = {"layer": 2, "head": 3, "reading": "own"}
    model = load("masked")
    model.model.config.guided_attention = guided
    assert default_head(model)[0] == (2, 3, "own")
    model.model.config.guided_attention = {"layer": 9, "head": 3}
    with pytest.raises(AlignEvalError, match="no layer 9"):
        default_head(model)


@pytest.mark.parametrize("which", ["masked", "bert"])
def test_signals_of_predictions_mask_what_they_explain(which: str) -> None:
    """Input x gradient on a masked model: the logits that are explained are those of the masked token."""
    model = load(which)
    reader = ATTRIBUTIONS.get("saliency")(model)
    layouts = reader.lay_out(pairs()[:1])
    steps = reader.predictions(layouts)
    mask = model.tokenizer.mask_token_id
    for step in steps:
        (where,) = np.flatnonzero(step.layout.inputs[-1] != layouts[0].inputs[-1])
        assert (where, step.layout.inputs[-1][where], layouts[0].inputs[-1][where]) == (step.row, mask, step.token)
    maps = attention_maps(reader, pairs()[:1])[0]
    assert bool((maps.by_head() >= 0).all())
    assert float(maps.by_head().sum()) > 0
    with pytest.raises(ModelError, match="does not predict a target word by word"):
        ATTRIBUTIONS.get("prediction-difference")(model)


def test_encoder_with_a_head_runs_gradient_signals() -> None:
    (maps,) = attention_maps(ATTRIBUTIONS.get("saliency")(load_model(str(bert_folder()))), pairs()[:1])
    assert float(maps.by_head().sum()) > 0
