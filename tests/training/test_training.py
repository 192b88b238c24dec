"""Training of the refiner: its loss by hand, that it learns, goes on where it stopped, and refuses test sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import align_eval as ae
from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.aligners.refiner import Beliefs, Looks, Refiner, Shape
from align_eval.corpora import Corpus, SentencePair, load_testset
from align_eval.errors import InputError, ModelError, NonFiniteError, UnknownNameError
from align_eval.links import GoldLinks, Links
from align_eval.links.table import LinkTable
from align_eval.runs.evaluate import evaluate_testset
from align_eval.runs.train import corpora_of, train
from align_eval.scoring import score
from align_eval.training.data import normalised, refuse_overlap, split
from align_eval.training.refiner import (
    Cells,
    TrainingSettings,
    aer,
    expected_calibration_error,
    loss_of,
    reliability,
    train_network,
)
from align_eval.training.states import Batch, States, encode


def corpus(*pairs: tuple[str, str, str], name: str = "mine") -> Corpus:
    made = [
        SentencePair(str(k), tuple(s.split()), tuple(t.split()), GoldLinks(Links(g)))
        for k, (s, t, g) in enumerate(pairs, 1)
    ]
    return Corpus.from_pairs(made, name)


def test_loss_by_hand() -> None:
    """Word 0 has two links, word 1 none: their cross-entropies, the second with the weight of NULL."""
    rows = torch.tensor([[[0.5, 0.3], [0.4, 0.1]]]).log()
    columns = torch.tensor([[[0.5, 0.6], [0.2, 0.1]]]).log()
    beliefs = Beliefs(rows, columns, torch.tensor([[0.2, 0.5]]).log(), torch.tensor([[0.3, 0.3]]).log())
    gold = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    nothing: Any = None
    batch = Batch((nothing, nothing), (nothing, nothing), (nothing, nothing), gold, gold, torch.ones(1))
    present = torch.ones((1, 2), dtype=torch.bool)
    found = loss_of(beliefs, batch, present, present, 0.25)
    by_row = -(np.log(0.5) + np.log(0.3)) / 2 - 0.25 * np.log(0.5)
    by_column = -np.log(0.5) - np.log(0.6)
    assert found.item() == pytest.approx((by_row + by_column) / (1.25 + 2))


def test_aer_is_that_of_the_scorer() -> None:
    rng = np.random.default_rng(0)
    gold = [GoldLinks(Links(np.argwhere(rng.random((5, 6)) > 0.8)))]
    matrix = rng.random((5, 6)).astype(np.float32)
    sure = gold[0].sure.matrix(5, 6)
    cells = Cells(matrix.ravel(), sure.ravel(), sure.ravel())
    thresholds = np.array([0.2, 0.5, 0.9])
    for threshold, found in zip(thresholds, aer(cells.counts(thresholds)), strict=True):
        links = [Links.from_matrix(matrix > np.float32(threshold))]
        expected = score(LinkTable.from_links(gold), LinkTable.from_links(links), resamples=0).aer
        assert found == pytest.approx(expected)


def test_calibration_by_hand() -> None:
    cells = Cells(
        np.array([0.95, 0.91, 0.15, 0.01], np.float32), np.zeros(4, bool), np.array([True, False, False, True])
    )
    rows = reliability([cells])
    assert [(row["cells"], row["links"]) for row in rows] == [(1, 0.0), (2, 0.5)]  # 0.01 is below the least
    assert expected_calibration_error(rows) == pytest.approx((2 * (0.93 - 0.5) + 0.15) / 3, abs=1e-4)


class TestData:
    def test_every_tenth_pair_is_held_out(self) -> None:
        own = corpus(*[(f"a{k} b", "c d", "0-0") for k in range(25)])
        (learn,), (held,) = split([("mine", own, 1.0)], [])
        assert [p.id for p in held.pairs] == ["10", "20"]
        assert len(learn.pairs) == 23

    def test_pairs_without_links_are_left_out(self) -> None:
        own = corpus(*[("a b", "c d", "0-0")] * 10, ("a", "b", ""))
        learn, _ = split([("mine", own, 1.0)], [("mine", own)])
        assert len(learn[0].pairs) == 10

    @pytest.mark.parametrize(
        ("given", "said"),
        [(corpus(("a", "b", "")), "no sentence pair with two sides"), (corpus(("a", "b", "0-0")), "too few")],
    )
    def test_too_little(self, given: Corpus, said: str) -> None:
        with pytest.raises(InputError, match=said):
            split([("mine", given, 1.0)], [])

    def test_no_gold(self) -> None:
        with pytest.raises(InputError, match="no gold links"):
            split([("x", Corpus.from_texts(["a"], ["b"]), 1.0)], [])

    def test_a_sentence_of_a_test_set_is_refused(self) -> None:
        pair = load_testset("mini-ende").pairs[4]
        sentence = " ".join(pair.source).upper().replace(" .", "!")
        stolen = corpus((sentence, "ganz anders", "0-0"), *[(f"a{k} b", "c d", "0-0") for k in range(12)])
        parts, _ = split([("mine", stolen, 1.0)], [])
        with pytest.raises(InputError, match=r"test set mini-ende share .* pair 1 of mine") as error:
            refuse_overlap(parts)
        assert "--allow-overlap" in str(error.value)

    def test_own_training_sets_share_nothing_with_test_sets(self) -> None:
        parts, _ = split([(group, c, 1.0) for group, c in corpora_of("mini-*-train")], [])
        compared, _ = refuse_overlap(parts)
        assert {"mini-ende", "mini-enzh"} <= {*compared}
        assert not any(name.endswith(("-train", "-dev")) for name in compared)

    def test_normalised(self) -> None:
        assert normalised(["The", "HOUSE", ",", "№", "5", "!"]) == "thehouseno5"

    def test_names(self) -> None:
        assert [c.name for _, c in corpora_of(["mini-en[dt][er]-train"])] == ["mini-ende-train", "mini-entr-train"]
        with pytest.raises(UnknownNameError):
            corpora_of("maxi-*-train")
        with pytest.raises(InputError, match="twice"):
            corpora_of(["mini-*-train", "mini-ende-train"])


class Tiny:
    """Random states of 12 pairs whose gold is the diagonal; no model."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        shared = torch.from_numpy(rng.standard_normal((4, 1, 8))).half()
        pairs = list(corpus(*[("a b c d", "e f g h", "0-0 1-1 2-2 3-3")] * 12).pairs)
        values = torch.cat([shared + 0.3 * torch.from_numpy(rng.standard_normal((4, 1, 8))).half() for _ in range(24)])
        words = torch.arange(4).repeat(24)
        states = States(values, words, list(range(0, 97, 4)), pairs)
        own = corpus(*[("a", "b", "0-0")] * 12)
        (self.part,), _ = split([("tiny", own, 1.0)], [("tiny", own)])
        self.data = [(self.part, states)]
        self.shape = Shape(8, (1,), dimensions=8, channels=4)


class TestNetwork:
    def test_it_learns(self) -> None:
        tiny = Tiny()
        found = train_network(tiny.data, tiny.data, tiny.shape, TrainingSettings(epochs=6, batch=2))
        assert found.epochs[-1]["loss"] < found.epochs[0]["loss"] / 2
        assert found.epochs[found.best - 1]["aer"] == min(row["aer"] for row in found.epochs)

    def test_the_same_seed_gives_the_same_weights_and_nothing_global_changes(self) -> None:
        tiny = Tiny()
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        one, two = (train_network(tiny.data, tiny.data, tiny.shape, TrainingSettings(epochs=2)) for _ in range(2))
        assert torch.equal(torch.rand(3), expected)
        for key, value in one.network.state_dict().items():
            assert torch.equal(value, two.network.state_dict()[key])

    def test_an_interrupted_training_goes_on(self, tmp_path: Path) -> None:
        from align_eval.io.resumable import Key

        tiny, settings, key = Tiny(), TrainingSettings(epochs=3, batch=4), Key.of(a=1)
        whole = train_network(tiny.data, tiny.data, tiny.shape, settings)

        def stop(row: dict[str, Any]) -> None:
            if row["epoch"] == 2:
                raise KeyboardInterrupt

        args: dict[str, Any] = {"checkpoint": tmp_path, "key": key}
        with pytest.raises(KeyboardInterrupt):
            train_network(tiny.data, tiny.data, tiny.shape, settings, said=stop, **args)
        with pytest.raises(InputError, match="unfinished training"):
            train_network(tiny.data, tiny.data, tiny.shape, settings, checkpoint=tmp_path, key=Key.of(a=2))
        again = train_network(tiny.data, tiny.data, tiny.shape, settings, **args)
        assert again.epochs == whole.epochs
        for name, value in whole.network.state_dict().items():
            assert torch.equal(value, again.network.state_dict()[name])
        (tmp_path / "checkpoint.pt").write_bytes(b"cut")
        with pytest.raises(ModelError, match="--restart"):
            train_network(tiny.data, tiny.data, tiny.shape, settings, **args)

    def test_nan_is_an_error(self) -> None:
        tiny = Tiny()
        tiny.data[0][1].values[5] = float("nan")
        with pytest.raises(NonFiniteError, match="epoch 1"):
            train_network(tiny.data, tiny.data, tiny.shape, TrainingSettings())

    @pytest.mark.parametrize("wrong", [{"epochs": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"null_weight": -1}])
    def test_settings_are_checked(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=next(iter(wrong))):
            TrainingSettings(**wrong)


@pytest.mark.model
class TestRealModel:
    def test_sixty_pairs_improve_links(self, e5: Any, tmp_path: Path) -> None:
        own = load_testset("mini-enzh-train")
        learn, dev = [("own", own.part(range(60)))], [("own", own.part(range(60, 100)))]
        testset = load_testset("mini-enzh")
        said: list[str] = []
        states = tmp_path / "states"
        found = ae.train(learn, tmp_path / "mine", e5, dev=dev, states=states, said=said.append)
        assert [line.split(":")[0] for line in said[:2]] == ["epoch 1", "epoch 2"]
        aligners = [make_aligner(AlignerSettings(e5, (m,))) for m in ("argmax", f"refined:path={tmp_path / 'mine'}")]
        untuned, tuned = (evaluate_testset(testset, aligner, resamples=0)[0].score.aer for aligner in aligners)
        assert tuned < untuned - 1
        assert found.refiner.trained_on == "own"
        assert "CC0 1.0" in (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
        assert not (tmp_path / "mine" / "checkpoint.pt").exists()
        # The states are read from disk the second time, and the weights are the same.
        short = TrainingSettings(epochs=1)
        one, two = (ae.train(learn, tmp_path / k, e5, dev=dev, states=states, settings=short) for k in "ab")
        assert one.refiner.sha256 == two.refiner.sha256

    def test_states_from_disk(self, e5: Any, tmp_path: Path) -> None:
        pairs = load_testset("mini-enzh").pairs[:4]
        one, two = (encode([e5], pairs, (6, 7), "cjk", tmp_path) for _ in range(2))
        assert torch.equal(one.values, two.values)
        assert len(list(tmp_path.iterdir())) == 1
        assert encode([e5], pairs, (6, 8), "cjk", tmp_path).values.shape == one.values.shape
        assert len(list(tmp_path.iterdir())) == 2
        lengths = torch.linalg.vector_norm(one.values.float(), dim=2)
        torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=2e-3, rtol=0)

    def test_a_test_set_is_no_training_data(self, e5: Any, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="mini-ende share a sentence"):
            train("mini-ende", tmp_path, e5)
        assert not list(tmp_path.iterdir())

    def test_weights_name_corpora(self, e5: Any, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match="mini-ende-train"):
            train("mini-ende-train", tmp_path, e5, weights={"mini-ende-trian": 2.0})


def test_swapped_batches_are_transposed() -> None:
    gold = torch.tensor([[[1.0, 0.0, 0.0]]])
    looks = Looks.of([["a"]], {}), Looks.of([["b", "c", "d"]], {})
    one: Any = (torch.zeros(1), torch.ones(1))
    found = Batch(one, one, looks, gold, gold, torch.ones(1)).swapped()
    assert found.gold.shape == (1, 3, 1)
    assert found.looks == (looks[1], looks[0])


def test_a_new_network_changes_no_score() -> None:
    network = Refiner(Shape(6, (1, 2), dimensions=6))
    bare = Refiner(Shape(6, (1, 2), dimensions=6, channels=0))
    cosines, present = torch.rand((2, 3, 3)), torch.ones((2, 3), dtype=torch.bool)
    looks = Looks.of([["a", "b", "c"]] * 2, {})
    torch.testing.assert_close(
        network(cosines, looks, looks, present, present).links, bare(cosines, looks, looks, present, present).links
    )
