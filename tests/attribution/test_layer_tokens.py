"""One row of each layer: attention, information flow, and the text that they are read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from align_eval.attribution.text import PlainText, encode, generate_text, read_text, token_texts
from align_eval.attribution.text_flow import text_flow
from align_eval.attribution.text_layers import attention_row, find_query, flow_row
from align_eval.errors import InputError, ModelError, SentenceTooLongError
from align_eval.models.attention import eager
from align_eval.models.double import keep_double
from tests.attribution.forced import double
from tests.models import families

TEXT = "the house and the small house"


def test_attention_is_that_of_the_model() -> None:
    model = double("llama")
    text = read_text(model, TEXT)
    with torch.no_grad(), eager(model.model), keep_double(model.dtype):
        full = model.model(input_ids=torch.from_numpy(text.ids)[None], output_attentions=True).attentions
    for query in (3, len(text.ids) - 1):
        mean = np.stack([layer[0, :, query].mean(dim=0).numpy() for layer in full])
        third = np.stack([layer[0, 2, query].numpy() for layer in full])
        assert np.abs(attention_row(model, text, query) - mean).max() < 1e-12
        assert np.abs(attention_row(model, text, query, head=3) - third).max() < 1e-12
        assert np.abs(attention_row(model, text, query).sum(axis=1) - 1).max() < 1e-9
        assert attention_row(model, text, query)[:, query + 1 :].sum() == 0


def test_flow_is_that_of_the_text_up_to_the_query() -> None:
    model = double("gpt2")
    text = read_text(model, TEXT)
    query = len(text.ids) - 2
    values, token = flow_row(model, text, query)
    assert token == int(text.ids[query + 1])
    assert values[:, query + 1 :].sum() == 0
    one, _ = flow_row(model, text, query, head=2, rows="all")
    begin = "the house and the small"
    if len(read_text(model, begin).ids) == query + 1:
        flow = text_flow(model, begin, " house")
        assert np.abs(values[:, : query + 1] - np.abs(flow.signed.sum(axis=1))[:, -1]).max() < 1e-12
        assert np.abs(one[:, : query + 1] - flow.saliency[:, 1].sum(axis=1)).max() < 1e-12
    _, best = flow_row(model, text, len(text.ids) - 1)
    with torch.no_grad(), keep_double(model.dtype):
        logits = model.model(input_ids=torch.from_numpy(text.ids)[None]).logits
    assert best == int(logits[0, -1].argmax())


def test_a_query_is_found() -> None:
    text = PlainText("", np.arange(6), ("x", "a", "b", "13", "b", "c"), np.zeros((6, 2), dtype=np.int64), start=1)
    assert [find_query(text, q) for q in ("0", "-1", "2", "b", "text:13", "text:b")] == [1, 5, 3, 4, 3, 4]
    for bad in ("5", "-6", "x", "bb", "text:1"):
        with pytest.raises(InputError, match=r"query|no token"):
            find_query(text, bad)


@pytest.mark.model
def test_a_text_of_the_real_model(smollm2: Any) -> None:
    whole = read_text(smollm2, "She painted a horse.\n\n 13")
    assert whole.labels == ("She", "painted", "a", "horse", ".", "↵↵", "1", "3")
    assert [whole.text[a:b] for a, b in whole.spans[:3]] == ["She", " painted", " a"]
    split = read_text(smollm2, "She painted", " a horse")
    assert (split.start, split.labels[split.start :]) == (2, ("a", "horse"))
    asked = generate_text(smollm2, "What is the capital of Germany?", 16, chat=True)
    assert "".join(asked.labels[asked.start :]) == "ThecapitalofGermanyisBerlin."
    assert asked.text.endswith("<|im_start|>assistant\nThe capital of Germany is Berlin.")
    plain = generate_text(smollm2, "The capital of France is", 2)
    assert plain.labels[plain.start :] == ("Paris", ".")


def test_labels_of_other_tokenizers() -> None:
    tokenizer = families.tokenizer_of("llama")
    ids, spans = encode(tokenizer, "the house")
    assert token_texts(tokenizer, ids)[0] == "<s>"
    assert spans[0].tolist() == [-1, -1]
    assert encode(tokenizer, "the house", specials=False)[0].tolist() == ids[1:].tolist()


def test_errors() -> None:
    model = double("gpt2")
    text = read_text(model, TEXT)
    for head in (0, 5, "first"):
        with pytest.raises(ModelError, match=f"has no head {head}. Choose mean, or from 1 to 4"):
            attention_row(model, text, 1, head=head)
    with pytest.raises(SentenceTooLongError, match="the window of gpt2 is 96"):
        read_text(model, "house " * 100)
    with pytest.raises(InputError, match="the text has no sub-word"):
        read_text(model, "")
    with pytest.raises(ModelError, match="has no chat format"):
        read_text(model, "the", chat=True)
    with pytest.raises(InputError, match="Generate at least 1"):
        generate_text(model, "the", 0)
