"""The method ``refined``: its equations by hand, its invariants on real sentences, its files and its errors."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from align_eval.aligners import AlignerSettings, System, default_method, make_aligner
from align_eval.aligners.refined import RefinedOptions
from align_eval.aligners.refiner import (
    Looks,
    Refiner,
    Shape,
    TrainedRefiner,
    load_refiner,
    packaged_refiners,
    save_refiner,
)
from align_eval.corpora import SentencePair, load_testset
from align_eval.errors import AlignEvalError, FormatError, InputError, MissingFileError, UnknownNameError
from align_eval.files import data_folder
from align_eval.models import load_model
from align_eval.models.tokens import Tokenized, without_lone_marks
from align_eval.runs.align_file import align_lines
from align_eval.runs.evaluate import evaluate_testset
from tests.models.tiny import write_model

REFINED = System("refined")


def words(*rows: list[int]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows])


def looks(*sentences: str) -> tuple[Looks, Looks]:
    numbers: dict[str, int] = {}
    source, target = (Looks.of([text.split()], numbers) for text in sentences)
    return source, target


class TestEquations:
    def test_cosines_of_words_by_hand(self) -> None:
        """Source word 0 has two tokens: the mean of the greatest and the average of its two cosines."""
        network = Refiner(Shape(2, (1,), dimensions=2))
        source = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
        target = torch.tensor([[[0.6, 0.8]]])
        found = network.cosines(source, target, words([0, 0, 1]), words([0]), (2, 1))
        assert found[0, 0, 0].item() == pytest.approx((0.8 + (0.6 + 0.8) / 2) / 2)
        assert found[0, 1, 0].item() == pytest.approx(0.6)

    def test_probabilities_by_hand(self) -> None:
        """A refiner that has learnt nothing: softmax over row and NULL, over column and NULL, and their mean."""
        network = Refiner(Shape(2, (1,), dimensions=2))
        network.scale.data.fill_(2.0)
        network.threshold.data.fill_(0.5)
        cosines = torch.tensor([[[1.0, 0.0], [0.5, 0.25]]])
        present = torch.ones((1, 2), dtype=torch.bool)
        beliefs = network(cosines, *looks("a b", "c d"), present, present)
        e = [math.exp(2 * x) for x in (1.0, 0.0, 0.5, 0.25)]
        null = math.exp(1.0)
        row, column = e[0] / (e[0] + e[1] + null), e[0] / (e[0] + e[2] + null)
        assert beliefs.links[0, 0, 0].item() == pytest.approx((row + column) / 2)
        assert beliefs.source_null.exp()[0, 1].item() == pytest.approx(null / (e[2] + e[3] + null))
        assert beliefs.target_null.exp()[0, 1].item() == pytest.approx(null / (e[1] + e[3] + null))

    def test_a_word_without_tokens_is_null(self) -> None:
        network = Refiner(Shape(2, (1,), dimensions=2))
        present = torch.tensor([[True, False]])
        beliefs = network(torch.ones((1, 2, 2)), *looks("a b", "c d"), present, torch.ones((1, 2), dtype=torch.bool))
        assert beliefs.links[0, 1].tolist() == [0, 0]
        assert beliefs.source_null.exp()[0, 1].item() == pytest.approx(1)

    def test_padding_changes_nothing(self) -> None:
        torch.manual_seed(0)
        network = Refiner(Shape(8, (1, 2), dimensions=8))
        torch.nn.init.normal_(network.last.weight)
        numbers: dict[str, int] = {}
        sides = ["the house .", "das Haus steht ."]
        source, target = (Looks.of([side.split()], numbers) for side in sides)
        cosines = torch.rand((1, 3, 4))
        alone = network(cosines, source, target, torch.ones((1, 3), dtype=torch.bool), torch.ones((1, 4)) > 0)
        numbers = {}
        long = "a b c d e f g"
        source, target = (Looks.of([side.split(), long.split()], numbers) for side in sides)
        padded = torch.rand((2, 7, 7))
        padded[0, :3, :4] = cosines[0]
        rows, columns = torch.arange(7) < torch.tensor([[3], [7]]), torch.arange(7) < torch.tensor([[4], [7]])
        together = network(padded, source, target, rows, columns)
        torch.testing.assert_close(together.links[0, :3, :4], alone.links[0], atol=1e-6, rtol=0)

    def test_equal_forms_get_equal_numbers(self) -> None:
        source, target = looks("Berlin , Haus", "berlin Häuser ,")
        assert source.form[0, 0] == target.form[0, 0]
        assert source.start[0, 2] != target.start[0, 1]
        assert source.punctuation[0].tolist() == [0, 1, 0]


class TestLoneMarks:
    class Marks:
        unk_token_id = 3

        def convert_tokens_to_ids(self, token: str) -> int:
            return 9

    SENTENCES = (("东京", "a"), ("▁", "京"))
    # ▁ 东 京 | ▁ a || ▁ | ▁
    TOKENS = Tokenized(
        np.array([9, 1, 2, 9, 4, 9, 9]), np.array([0, 0, 0, 1, 1, 0, 1], np.int32), np.array([0, 5, 7]),
        np.array([2, 2], np.int32),
    )  # fmt: skip

    @pytest.mark.parametrize(("rule", "ids"), [("keep", [9, 1, 2, 9, 4]), ("cjk", [1, 2, 9, 4]), ("drop", [1, 2, 4])])
    def test_by_hand(self, rule: str, ids: list[int]) -> None:
        found = without_lone_marks(self.TOKENS, self.SENTENCES, self.Marks(), rule)
        assert found.ids[0].tolist() == ids
        assert found.ids[1].tolist() == [9, 9]  # words that are nothing else keep it
        assert len(found.flat_words) == len(found.flat_ids) == found.offsets[-1]

    @pytest.mark.model
    def test_effect_on_chinese(self, e5: Any) -> None:
        """Fewer wrong links, and nothing changes in a language with spaces."""
        chinese, german = load_testset("mini-enzh"), load_testset("mini-ende")
        kept, dropped = (make_aligner(AlignerSettings(e5, lone_marks=rule)) for rule in ("keep", "cjk"))
        scores = [evaluate_testset(chinese, aligner, resamples=0)[0].score for aligner in (kept, dropped)]
        assert scores[1].aer < scores[0].aer
        assert "lone:cjk" in str(scores[1].signature)
        assert "lone" not in str(scores[0].signature)
        assert list(kept.align_all(german.pairs).values()) == list(dropped.align_all(german.pairs).values())


@pytest.fixture(scope="module")
def aligner(e5: Any) -> Any:
    return make_aligner(AlignerSettings(e5, ("refined",)))


@pytest.mark.model
class TestRealModel:
    def test_better_than_argmax_on_every_own_set(self, e5: Any, aligner: Any) -> None:
        for name in ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh"):
            testset = load_testset(name)
            (refined,) = evaluate_testset(testset, aligner, resamples=0)
            (argmax,) = evaluate_testset(testset, make_aligner(AlignerSettings(e5)), resamples=0)
            assert refined.score.aer < argmax.score.aer - 1

    def test_batched_equals_one_by_one(self, aligner: Any) -> None:
        pairs = [p for name in ("mini-ende", "mini-enzh") for p in load_testset(name).pairs[:12]]
        pairs.insert(3, SentencePair("empty", (), ("Haus",)))
        pairs.append(SentencePair("one", ("house",), ("Haus",)))
        together = aligner.align_all(pairs)[REFINED]
        for pair, links in zip(pairs, together, strict=True):
            (alone,) = aligner.align_all([pair])[REFINED]
            assert alone == links
            if len(links):
                np.testing.assert_allclose(alone.scores, links.scores, atol=1e-5)  # of the encoder; below: ours alone
        assert [len(links) for links in together[3:4]] == [0]
        assert list(together[-1]) == [(0, 0)]

    def test_scores_are_the_probabilities(self, aligner: Any) -> None:
        pair = load_testset("mini-ende").pairs[3]
        (links,) = aligner.align_all([pair])[REFINED]
        values = aligner.probabilities(pair)
        threshold = aligner.refiners["refined"].threshold
        assert {*links} == {*map(tuple, np.argwhere(values > threshold).tolist())}
        np.testing.assert_allclose(links.scores, [values[i, j] for i, j in links], atol=1e-6)

    def test_rules(self, e5: Any) -> None:
        specs = [f"refined:links={rule}" for rule in ("threshold", "mutual", "source", "target")]
        specs.append("refined:threshold=0.9")
        pairs = load_testset("mini-enfr").pairs
        found = [[*links] for links in make_aligner(AlignerSettings(e5, tuple(specs))).align_all(pairs).values()]
        for every, mutual, source, target, high in zip(*found, strict=True):
            assert mutual <= source <= every
            assert mutual <= target
            assert len({i for i, _ in source}) == len(source)
            assert len({j for _, j in target}) == len(target)
            assert high <= every

    def test_null_is_reported(self, aligner: Any) -> None:
        pair = SentencePair("1", ("the", "house", "stands", "zzyzx"), ("Haus", "steht"))
        row = json.loads(next(iter(align_lines(aligner, [pair], "jsonl"))))
        assert len(row["source_null"]) == 4
        assert len(row["target_null"]) == 2
        assert row["source_null"][0] > row["source_null"][1]
        assert all(0 <= p <= 1 for p in row["source_null"] + row["target_null"])

    def test_long_and_silent(self, aligner: Any) -> None:
        long = SentencePair("long", ("house", "tree", ".") * 200, ("Haus", "Baum", ".") * 200)
        silent = SentencePair("silent", ("\x01", "house"), ("Haus", "\x02"))
        first, second = aligner.align_all([long, silent])[REFINED]
        assert len(first)
        assert {*second} <= {(1, 0)}

    def test_beside_others_in_one_pass(self, e5: Any, aligner: Any) -> None:
        testset = load_testset("mini-ende")
        both = evaluate_testset(testset, make_aligner(AlignerSettings(e5, ("argmax", "refined"), (6,))), resamples=0)
        (alone,) = evaluate_testset(testset, aligner, resamples=0)
        assert [str(e.system) for e in both] == ["argmax layer 6", "refined"]
        assert both[1].score.aer == alone.score.aer

    def test_signature_names_the_weights_and_their_data(self, aligner: Any) -> None:
        refiner = aligner.refiners["refined"]
        found = aligner.signature(REFINED)
        assert found["method"] == f"refined/free@{refiner.sha256[:8]}"
        assert "en-sv.ges" in found["trained"]

    def test_links_survive_pickling(self, aligner: Any) -> None:
        import pickle

        (links,) = aligner.align_all(load_testset("mini-ende").pairs[:1])[REFINED]
        again = pickle.loads(pickle.dumps(links))
        assert again == links
        np.testing.assert_array_equal(again.nulls[0], links.nulls[0])


class TestDefault:
    def test_of_the_own_encoder(self) -> None:
        assert default_method("offline:e5-small") == "refined"
        assert default_method("offline:e5-small", layers=(7,)) == "argmax"
        assert default_method("offline:e5-small", subword="mean") == "argmax"
        assert default_method("offline:e5-small", lone_marks="keep") == "argmax"
        assert default_method("offline:smollm2-135m") == "argmax"
        assert default_method("offline:e5-small", attention=object()) == "reverse"


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(data_folder() / "refiners" / "free", tmp_path / "mine"))

    def test_packaged_ones_are_small_and_have_cards(self) -> None:
        assert packaged_refiners() == ["cc0", "free"]
        for name in packaged_refiners():
            folder = data_folder() / "refiners" / name
            assert sum(f.stat().st_size for f in folder.glob("*.safetensors")) <= 500_000
            assert "What it learnt from" in (folder / "README.md").read_text(encoding="utf-8")

    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        torch.manual_seed(1)
        network = Refiner(Shape(16, (0, 1), dimensions=8, channels=4))
        written = save_refiner(TrainedRefiner("x", network, 0.4, "m", "r", "cjk", (), "a+b"), tmp_path / "x")
        again = load_refiner(tmp_path / "x")
        assert again.threshold == 0.4
        assert again.trained_on == "a+b"
        for key, value in again.network.state_dict().items():
            assert torch.equal(value, written.network.state_dict()[key])
            assert torch.allclose(value, network.state_dict()[key], atol=0.01)

    def damaged(self, folder: Path, what: str) -> None:
        weights = folder / "refiner.safetensors"
        if what == "cut short":
            weights.write_bytes(weights.read_bytes()[:1000])
        elif what == "missing":
            weights.unlink()
        elif what == "no json":
            (folder / "refiner.json").write_text("{")
        elif what == "other json":
            (folder / "refiner.json").write_text('{"shape": [], "threshold": 1}')
        elif what in ("NaN", "another form"):
            state = load_file(weights)
            if what == "NaN":
                state["scale"][()] = float("nan")
            else:
                state["head"] = state["head"][:5].clone()
            save_file(state, weights)
            import hashlib

            about = json.loads((folder / "refiner.json").read_text())
            about["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
            (folder / "refiner.json").write_text(json.dumps(about))

    @pytest.mark.parametrize(
        ("what", "error", "said"),
        [
            ("cut short", FormatError, "sha256"),
            ("missing", MissingFileError, "refiner.safetensors"),
            ("no json", FormatError, "align-eval train"),
            ("other json", FormatError, "align-eval train"),
            ("NaN", FormatError, "NaN"),
            ("another form", FormatError, "weights"),
        ],
    )
    def test_damage(self, folder: Path, what: str, error: type[AlignEvalError], said: str) -> None:
        self.damaged(folder, what)
        with pytest.raises(error, match=said):
            load_refiner(folder)

    def test_of_another_encoder(self, tmp_path: Path) -> None:
        model = load_model(str(write_model(tmp_path / "bert", "bert")))
        with pytest.raises(InputError, match="reads the states of offline:e5-small"):
            make_aligner(AlignerSettings(model, ("refined",)))


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("refined:links=some", InputError),
        ("refined:threshold=2", InputError),
        ("refined:threshold=nan", InputError),
        ("refined:treshold=0.5", UnknownNameError),
        ("refined:links=mutual,links=mutual", InputError),
    ],
)
def test_options_are_checked(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        RefinedOptions.parse(spec)


@pytest.mark.model
def test_what_it_does_not_take(e5: Any) -> None:
    with pytest.raises(UnknownNameError, match="Known: cc0, free"):
        make_aligner(AlignerSettings(e5, ("refined:name=fre",)))
    with pytest.raises(InputError, match="layers that it was trained on"):
        make_aligner(AlignerSettings(e5, ("refined",), (7,)))
    with pytest.raises(InputError, match="pools subwords"):
        make_aligner(AlignerSettings(e5, ("refined",), subword="mean"))
    with pytest.raises(MissingFileError, match="no folder of a trained aligner"):
        make_aligner(AlignerSettings(e5, ("refined:path=nowhere",)))
