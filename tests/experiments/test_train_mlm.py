"""experiments/train_mlm: the trimmed tokenizer, batches, loss, head, a few steps, the exported model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align_eval.corpora import SentencePair
from tests.experiments.modules import modules_of

NAMES = ("sibling", "vocabulary", "prepare", "model", "batches", "start", "train", "export", "evaluate")
DE = "das kleine haus steht am alten fluss . der garten ist klein ! das haus ist alt .".split()  # noqa: SIM905
EN = "the small house stands by the old river . the garden is small ! the house is old .".split()  # noqa: SIM905
PIECES = ["▁", "▁das", "▁the", "▁haus", "▁house", "▁hou", "se", "s", "e", "ist", "▁i", "lt", "▁al", "en", "▁st", "and"]


@pytest.fixture(scope="module")
def mlm() -> Iterator[SimpleNamespace]:
    with modules_of("train_mlm", NAMES) as found:
        yield found


def full_tokenizer() -> dict[str, Any]:
    """A `tokenizer.json` as that of e5-small, small: the mask stands after pieces that nothing uses."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = sorted({c for word in (*DE, *EN) for c in word})
    pieces = list(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *PIECES, *letters, "ф", "▁фы", "<mask>"]))
    scores = [0.0] * 4 + [-1.0 - 0.37 * k for k in range(len(pieces) - 5)] + [0.0]
    backend = Tokenizer(models.Unigram([*zip(pieces, scores, strict=True)], 3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.add_special_tokens([AddedToken(token) for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B:0 </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return json.loads(backend.to_str())


def counted(full: dict[str, Any], words: list[str], mlm: SimpleNamespace) -> tuple[list[list[int]], np.ndarray]:
    from tokenizers import Tokenizer

    cut = mlm.prepare.encode(Tokenizer.from_str(json.dumps(full)), words)
    return cut, np.bincount([p for pieces in cut for p in pieces], minlength=len(full["model"]["vocab"]))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("dashuteinlr", min_size=1, max_size=9), min_size=1, max_size=30), st.integers(35, 45))
def test_words_of_kept_pieces_are_cut_as_before(mlm: SimpleNamespace, words: list[str], limit: int) -> None:
    from tokenizers import Tokenizer

    full = full_tokenizer()
    before, counts = counted(full, words, mlm)
    kept, minimum = mlm.vocabulary.kept_pieces(full, counts, set("".join(words)), limit)
    assert len(kept) <= limit
    assert set(np.flatnonzero(counts >= minimum).tolist()) <= set(kept)
    small = mlm.vocabulary.trimmed(full, kept)
    assert [small["model"]["vocab"][k][0] for k in (0, 1, 2, 3, -1)] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    for old, new in zip(before, mlm.prepare.encode(Tokenizer.from_str(json.dumps(small)), words), strict=True):
        assert mlm.vocabulary.UNK not in new
        if set(old) <= set(kept):
            assert [kept[piece] for piece in new] == old


def test_the_limit_and_what_always_stays(mlm: SimpleNamespace) -> None:
    full = full_tokenizer()
    _, counts = counted(full, DE + EN, mlm)
    letters = {c for word in (*DE, *EN) for c in word}
    with pytest.raises(ValueError, match="do not fit"):
        mlm.vocabulary.kept_pieces(full, counts, letters, 10)
    kept, minimum = mlm.vocabulary.kept_pieces(full, counts, letters, 10**6)
    names = {full["model"]["vocab"][k][0] for k in kept}
    assert minimum == 1
    assert letters | {"▁", "▁das", "<mask>"} <= names
    assert "ф" not in names
    given = {"added_tokens_decoder": {"1": {"content": "<pad>"}, "99": {"content": "<mask>"}}, "mask_token": "<mask>"}
    made = mlm.vocabulary.tokenizer_settings(given, 40)
    assert made["added_tokens_decoder"] == {"1": {"content": "<pad>"}, "39": {"content": "<mask>"}}


@pytest.fixture(scope="module")
def data(mlm: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare.py writes, from a few pairs and an encoder of two layers with random weights."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("mlm")
    full = full_tokenizer()
    _, counts = counted(full, DE + EN, mlm)
    kept, _ = mlm.vocabulary.kept_pieces(full, counts, {c for word in (*DE, *EN) for c in word}, 10**6)
    small = mlm.vocabulary.trimmed(full, kept)
    (folder / "tokenizer.json").write_text(json.dumps(small), "utf-8")
    named = {
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    named |= {"eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, "model_max_length": 64}), "utf-8")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(kept), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=64, pad_token_id=1, initializer_range=0.1,
    )  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    save_file(BertModel(config, add_pooling_layer=False).state_dict(), folder / "encoder.safetensors")
    pairs = [(DE[a : a + n], EN[a : a + n]) for a in range(12) for n in (2, 3, 5)]
    arrays: dict[str, Any] = {"corpus": np.arange(len(pairs), dtype=np.int8) % 4}
    tokenizer = Tokenizer.from_str(json.dumps(small))
    for side, language in enumerate(("de", "en")):
        cut = [mlm.prepare.encode(tokenizer, pair[side]) for pair in pairs]
        ids = [np.asarray([p for word in words for p in word], dtype=np.int16) for words in cut]
        words = [np.repeat(np.arange(len(w), dtype=np.int16), [len(p) for p in w]) for w in cut]
        for name, rows in (("ids", ids), ("words", words)):
            arrays |= {f"{language}.{name}.{part}": v for part, v in mlm.prepare.flat(rows).items()}
    np.savez(folder / "train.npz", **arrays)
    return folder


def test_batches(mlm: SimpleNamespace, data: Path) -> None:
    corpus = mlm.batches.Corpus(data)
    groups = list(corpus.epoch(1, 120, 0, 1))
    assert groups == list(corpus.epoch(1, 120, 0, 1))
    seen = {item for group in groups for item in group}
    assert {pair for pair, _ in seen} >= set(np.flatnonzero(corpus.corpus < 3).tolist())
    assert {direction for _, direction in seen} == {0, 1}
    shape = mlm.start.shape_of(data, 0)
    mask_id = shape.vocabulary - 1
    kinds = np.zeros(2)
    for number, group in enumerate(groups):
        rng = np.random.default_rng(number)
        batch = mlm.batches.make(corpus, group, rng, torch.float32, mask_id, keep=0.2, replace=0.2)
        size, width = batch.ids.shape
        assert size * width <= 120 or size == 1
        original = batch.ids.clone().view(-1)
        assert (original[batch.rows][batch.hidden] == mask_id).all()
        assert mask_id not in original[batch.rows][~batch.hidden]
        original[batch.rows] = batch.labels
        for i, (pair, direction) in enumerate(group):
            s, t = (("de", "en"), ("en", "de"))[direction]
            source, target = corpus.row(f"{s}.ids", pair), corpus.row(f"{t}.ids", pair)
            whole = [0, *source.tolist(), 2, 2, *target.tolist(), 2]
            row = original.view(size, width)[i].tolist()
            assert row == whole + [1] * (width - len(whole))
            if batch.mask is not None:
                assert ((batch.mask[i, 0, 0] < 0).tolist()) == [False] * len(whole) + [True] * (width - len(whole))
            masked = (batch.ids[i] == mask_id).numpy()
            words = corpus.row(f"{t}.words", pair)
            of_target = masked[len(source) + 3 :][: len(target)]
            for word in set(words.tolist()):
                assert len(set(of_target[words == word].tolist())) == 1  # all of a word or nothing of it
        kinds += [int(batch.hidden.sum()), int((~batch.hidden).sum())]
    assert 0.25 < kinds[1] / kinds.sum() < 0.55


def test_each_plan_hides_whole_words(mlm: SimpleNamespace) -> None:
    words = np.array([0, 0, 1, 2, 2, 2, 3, 5, 5, 6, 7, 8, 9])
    shares = []
    for seed in range(300):
        hidden = mlm.batches.hide(words, np.random.default_rng(seed))
        assert hidden.any()
        assert not set(words[hidden].tolist()) & set(words[~hidden].tolist())
        shares.append(len(set(words[hidden].tolist())) / 9)
    assert min(shares) < 0.25
    assert max(shares) == 1
    assert 0.35 < float(np.mean(shares)) < 0.5
    assert mlm.batches.hide(np.array([0, 0]), np.random.default_rng(0)).all()


def test_pairs_lie_as_align_eval_lays_them_out(mlm: SimpleNamespace, data: Path, trained: Path) -> None:
    from align_eval import load_model

    model = load_model(str(trained), head="mlm")
    corpus = mlm.batches.Corpus(data)
    (layout,) = model.lay_out([SentencePair("1", tuple(DE[:3]), tuple(EN[:3]))])
    assert layout.inputs[0].tolist() == [0, *corpus.row("de.ids", 1), 2, 2, *corpus.row("en.ids", 1), 2]
    assert set(layout.extra[0].tolist()) == {0}


def test_sliced_loss_and_rows_of_the_last_block(mlm: SimpleNamespace) -> None:
    torch.manual_seed(1)
    shape = mlm.model.Shape(30, layers=2, width=16, heads=2, inner=24, positions=20)
    model = mlm.model.MaskedLM(shape)
    model.bias.data.normal_()
    ids, rows, labels = torch.randint(4, 29, (3, 7)), torch.tensor([1, 2, 9, 15, 20]), torch.randint(4, 29, (5,))
    mask = torch.zeros(3, 1, 1, 7)
    mask[2, ..., 6:] = -1e4
    states = model(ids, mask, rows)
    assert torch.allclose(states, model(ids, mask).view(-1, 16)[rows], atol=1e-6)
    total, hits = mlm.model.SlicedCrossEntropy.apply(states, model.words.weight, model.bias, labels, 2)
    logits = states @ model.words.weight.T + model.bias
    plain = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    assert torch.allclose(total, plain, atol=1e-5)
    assert torch.equal(hits, logits.argmax(1) == labels)
    weights = list(model.parameters())
    used = [w for w in weights if w.shape != (shape.types, 16)]
    first = torch.autograd.grad(total, used, retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(plain, used), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", ["random", "identity", "fitted"])
def test_heads(mlm: SimpleNamespace, data: Path, kind: str) -> None:
    torch.manual_seed(2)
    corpus = mlm.batches.Corpus(data)
    model = mlm.model.MaskedLM(mlm.start.shape_of(data, 2))
    mlm.start.load_encoder(model, data)
    mlm.start.start_head(model, kind, corpus, 1)
    assert float(model.bias.detach().exp().sum()) == pytest.approx(1, abs=1e-4)
    states, _ = mlm.start._seen(model, corpus, 1)
    made = model.head_norm(torch.nn.functional.gelu(model.head(states)))
    if kind != "random":  # gelu and the norm are the standardisation of what the head's matrix gives
        linear = (states - states.mean(0)) @ model.head.weight.T
        assert float(torch.corrcoef(torch.stack([made.reshape(-1), linear.reshape(-1)]))[0, 1]) > 0.97
    if kind == "fitted":
        ids = torch.from_numpy(np.concatenate([corpus.data["de.ids.flat"], corpus.data["en.ids.flat"]]))
        table = model.words.weight[ids.long().unique()]
        assert torch.isfinite(made @ table.T).all()


@pytest.fixture(scope="module")
def trained(mlm: SimpleNamespace, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model after a few steps of train.py, which were interrupted once."""
    run = tmp_path_factory.mktemp("run")
    command = ["train.py", "--data", str(data), "--run", str(run), "--layers", "2", "--budget", "200", "--warmup", "5"]
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for steps in ("50", "150"):
            patch.setattr(sys, "argv", [*command, "--rate", "0.01", "--steps", steps])
            mlm.train.main()
    torch.set_num_threads(threads)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows[1:]] == [1, 25, 50, 75, 100, 125, 150]
    assert rows[-1]["loss"] < 0.9 * rows[1]["loss"]
    assert rows[-1]["accuracy"] > rows[1]["accuracy"]
    out = run / "model"
    assert "MB in all" in mlm.export.export(run / "final.pt", data, out)
    return out


def test_the_exported_model_fills(mlm: SimpleNamespace, trained: Path, tmp_path: Path) -> None:
    from align_eval import load_model
    from align_eval.models.store import SUMS, read_sums

    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(read_sums(trained / SUMS))
    model = load_model(str(trained), head="mlm")
    assert (model.layers, model.infill_reading, model.tokenizer.mask_token) == (2, "block-ts", "<mask>")
    for name in mlm.evaluate.SETS:
        for language, words in (("de", DE), ("en", EN)):
            lines = [" ".join(words[k : k + 3]) for k in range(4)]
            (tmp_path / f"{name}.{language}").write_text("\n".join(lines) + "\n", "utf-8")
    found = mlm.evaluate.evaluate(model, tmp_path, 4, ["random 0.5", "suffix 1.0"])
    assert len(found) == 8
    assert all(row["source"]["words"] == row["other source"]["words"] > 0 for row in found.values())


def test_other_sources_and_hidden_words(mlm: SimpleNamespace) -> None:
    others = mlm.evaluate.other_sources(["a", "ccc", "bb", "dddd"])
    assert others == [2, 3, 1, 1]
    rng = np.random.default_rng(0)
    assert mlm.evaluate.hidden_words("suffix 0.5", 5, rng) == (3, 4)
    assert len(mlm.evaluate.hidden_words("random 0.15", 5, rng)) == 1
    first = mlm.evaluate.hidden_words("span 0.5", 6, rng)
    assert first == tuple(range(first[0], first[0] + 3))
