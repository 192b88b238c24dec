"""Links from an encoder's similarity: the same however they are asked for, and typed errors for what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from align_eval.aligners import AlignerSettings, System, make_aligner
from align_eval.aligners import similarity as module
from align_eval.corpora import SentencePair, load_testset
from align_eval.errors import InputError, NonFiniteError, SentenceTooLongError, UnknownNameError
from align_eval.extraction import EXTRACTORS
from align_eval.links import Links
from align_eval.models import load_model
from align_eval.models.vectors import Vectors
from tests.models.tiny import write_model

METHODS = ("argmax", "forward", "reverse", "itermax", "match", "softmax", "entmax", "threshold", "transport")
SETS = ("mini-ende", "mini-enfr", "mini-enes", "mini-enzh")
real = [pytest.mark.model, pytest.mark.xdist_group("e5")]


@pytest.fixture(scope="module")
def pairs() -> list[SentencePair]:
    """30 real pairs of four languages, the shorter ones of each set, two with an empty side between them."""
    found = [p for name in SETS for p in sorted(load_testset(name).pairs, key=lambda p: len(p.source))[2:9]]
    found.insert(5, SentencePair("empty source", (), ("Haus",)))
    found.insert(11, SentencePair("empty target", ("the", "house"), ()))
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A BERT of random weights with a short window, whose tokeniser drops lone control characters."""
    return load_model(str(write_model(tmp_path_factory.mktemp("bert"), "bert")))


def align(encoder: Any, pairs: list[SentencePair], *methods: str, **settings: Any) -> dict[System, list[Links]]:
    return make_aligner(AlignerSettings(encoder, methods or ("argmax",), **settings)).align_all(pairs)


def assert_same(found: dict[System, list[Links]], expected: dict[System, list[Links]]) -> None:
    assert list(found) == list(expected)
    for system, links in found.items():
        for own, other in zip(links, expected[system], strict=True):
            assert own == other, system
            if len(own):
                np.testing.assert_allclose(own.scores, other.scores, atol=1e-5, err_msg=str(system))


class TestRealModel:
    """With ``offline:e5-small``."""

    pytestmark = real

    def test_batched_equals_one_by_one(self, e5: Any, pairs: list[SentencePair]) -> None:
        together = align(e5, pairs, *METHODS, layers=(7,))
        apart = {system: [] for system in together}
        for pair in pairs:
            for system, links in align(e5, [pair], *METHODS, layers=(7,)).items():
                apart[system] += links
        assert_same(together, apart)

    def test_scores_are_between_0_and_1_and_links_inside_the_pair(self, e5: Any, pairs: list[SentencePair]) -> None:
        for system, found in align(e5, pairs, *METHODS, layers=(7,)).items():
            assert len(found) == len(pairs)
            for pair, links in zip(pairs, found, strict=True):
                links.check_range(len(pair.source), len(pair.target))
                if not pair.source or not pair.target:
                    assert len(links) == 0
                    continue
                assert len(links) > 0 or system.method == "transport"
                assert links.scores is None or ((links.scores >= 0) & (links.scores <= 1)).all()

    @pytest.mark.parametrize("subword", ["any", "mean"])
    def test_layers_and_methods_at_once_equal_each_alone(
        self, e5: Any, pairs: list[SentencePair], subword: str
    ) -> None:
        some = pairs[:12]
        methods, layers = ("itermax", "argmax", "softmax:threshold=0.01"), (8, 0, 6)
        together = align(e5, some, *methods, layers=layers, subword=subword)
        assert list(together) == [System(method, layer) for layer in layers for method in methods]
        for system, links in together.items():
            alone = align(e5, some, system.method, layers=(system.layer,), subword=subword)
            assert_same({system: links}, alone)

    def test_any_and_mean_against_numpy(self, e5: Any, pairs: list[SentencePair]) -> None:
        """Mutual argmax over sub-words and then words, or over the mean vectors of words."""
        by_rule = {
            rule: align(e5, pairs, subword=rule, lone_marks="keep")[System("argmax", 7)] for rule in ("any", "mean")
        }
        assert by_rule["any"] != by_rule["mean"]
        for k, pair in enumerate(pairs):
            if not pair.source or not pair.target:
                continue
            tokens = e5.tokenize([pair.source, pair.target])
            vectors = [v[0].double().numpy() for v in e5.encode(tokens.ids, [7])]
            means = [np.stack([v[w == i].mean(axis=0) for i in np.unique(w)]) for v, w in zip(vectors, tokens.words)]  # noqa: B905
            every = [np.unique(w) for w in tokens.words]
            for rule, sides, words in (("any", vectors, tokens.words), ("mean", means, every)):
                left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in sides)
                cosine = left @ right.T
                cells = {(i, j) for i, j in enumerate(cosine.argmax(axis=1)) if cosine[:, j].argmax() == i}
                assert set(by_rule[rule][k]) == {(int(words[0][i]), int(words[1][j])) for i, j in cells}, (rule, pair)

    def test_order_of_pairs_is_kept(self, e5: Any, pairs: list[SentencePair], monkeypatch: pytest.MonkeyPatch) -> None:
        """However the work is cut: few vectors and few cells at a time, and the longest pairs first."""
        expected = align(e5, pairs)
        monkeypatch.setattr(module, "VECTOR_BUDGET", 60)
        monkeypatch.setitem(module._CELLS, "cpu", 700)
        assert_same(align(e5, pairs), expected)
        turned = align(e5, pairs[::-1], token_budget=64)
        assert_same({s: x[::-1] for s, x in turned.items()}, expected)

    @pytest.mark.parametrize("invisible", ["", "\u200b", "\ufeff", "\u00ad", "\x00"])
    def test_invisible_words_do_not_shift_the_numbers(self, e5: Any, invisible: str) -> None:
        plain = SentencePair("1", ("I", "have", "two", "cats"), ("ich", "habe", "zwei", "Katzen"))
        source = (invisible, *plain.source[:2], invisible, *plain.source[2:])
        found = align(e5, [plain, SentencePair("2", source, plain.target)])[System("argmax", 7)]
        assert list(found[0]) == [(0, 0), (1, 1), (2, 2), (3, 3)]
        place = {1: 0, 2: 1, 4: 2, 5: 3}
        assert {(place[i], j) for i, j in found[1] if i in place} >= {(0, 0), (2, 2), (3, 3)}
        if not invisible:
            assert all(i in place for i, _ in found[1])

    def test_a_long_sentence_is_aligned_in_windows(self, e5: Any) -> None:
        base = max(load_testset("mini-ende").pairs, key=lambda p: len(p.source))
        words = tuple(base.source) * (700 // len(base.source) + 1)
        pair = SentencePair("long", words, words)
        assert len(e5.tokenize([words]).ids[0]) > e5.window
        links = align(e5, [pair, SentencePair("short", ("house",), ("Haus",))])[System("argmax", 7)]
        assert list(links[1]) == [(0, 0)]
        diagonal = sum(i == j for i, j in links[0])
        assert diagonal > 0.9 * len(words)
        with pytest.raises(SentenceTooLongError, match=r"the source sentence of pair long has \d+ sub-words.* is 510"):
            align(e5, [SentencePair("ok", ("a",), ("b",)), pair], on_long="raise")

    def test_windows_change_nothing_where_a_sentence_fits(self, e5: Any, pairs: list[SentencePair]) -> None:
        assert_same(align(e5, pairs, on_long="raise"), align(e5, pairs))

    def test_pairs_made_ready_are_not_tokenised_again_and_get_the_same_links(
        self, e5: Any, pairs: list[SentencePair], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aligner = make_aligner(AlignerSettings(e5, ("argmax",)))
        expected = aligner.align_all(pairs)
        made = aligner.ready(pairs)
        assert made == pairs
        monkeypatch.setattr(e5, "tokenize", None)
        assert_same(aligner.align_all(made), expected)

    def test_default_layer_and_signature(self, e5: Any) -> None:
        aligner = make_aligner(AlignerSettings(e5, ("softmax:threshold=0.01",), subword="mean"))
        assert aligner.systems == [System("softmax:threshold=0.01", 7)]
        assert aligner.signature(aligner.systems[0]) == {
            "model": "offline:e5-small", "revision": e5.revision, "dtype": "float32", "signal": "similarity",
            "subword": "mean", "lone": "cjk", "long": "window", "layer": "7", "method": "softmax",
            "params": "threshold=0.01",
        }  # fmt: skip

    def test_the_word_map_holds_the_scores_of_the_links(self, e5: Any, pairs: list[SentencePair]) -> None:
        pair = pairs[0]
        for subword in ("any", "mean"):
            aligner: Any = make_aligner(AlignerSettings(e5, ("argmax",), subword=subword))
            (links,) = aligner.align_all([pair])[System("argmax", 7)]
            soft = aligner.word_map(pair, 7)
            assert soft.shape == (len(pair.source), len(pair.target))
            np.testing.assert_allclose([soft[i, j] for i, j in links], links.scores, atol=1e-5)


class TestTinyModel:
    """With a model of random weights."""

    WORDS = ("the", "small", "house", "is", "big")
    PAIR = SentencePair("p", WORDS, ("das", "kleine", "haus", "ist", "nicht", "klein"))

    def test_a_word_without_subwords_is_never_linked_and_shifts_nothing(self, tiny: Any) -> None:
        source = ("\u200b", *self.WORDS[:2], "\ufeff", *self.WORDS[2:], "\x01")
        assert tiny.tokenize([source]).silent_words(0).tolist() == [0, 3, 7]
        place = [1, 2, 4, 5, 6]
        for subword in ("any", "mean"):
            for system, (plain, odd) in align(
                tiny, [self.PAIR, SentencePair("odd", source, self.PAIR.target)], *METHODS, subword=subword
            ).items():
                assert list(odd) == [(place[i], j) for i, j in plain], system

    def test_a_side_of_words_without_subwords_is_an_empty_side(self, tiny: Any) -> None:
        silent = SentencePair("s", ("\u200b", "\x01"), self.WORDS)
        assert align(tiny, [silent, self.PAIR, silent.reverse()])[System("argmax", 3)][::2] == [Links(), Links()]
        aligner: Any = make_aligner(AlignerSettings(tiny))
        assert not aligner.word_map(silent, 3).any()

    def test_no_pairs(self, tiny: Any) -> None:
        assert align(tiny, []) == {System("argmax", 3): []}

    @pytest.mark.parametrize("beyond", [-1, 0, 1, 39, 200])
    def test_around_the_window(self, tiny: Any, beyond: int) -> None:
        length = tiny.window + beyond
        words = tuple((self.WORDS * 80)[:length])
        pair = SentencePair("long", words, self.WORDS)
        for subword in ("any", "mean"):
            (links,) = align(tiny, [pair], "forward", subword=subword)[System("forward", 3)]
            assert sorted(i for i, _ in links) == list(range(length))
        if beyond > 0:
            with pytest.raises(
                SentenceTooLongError, match=f"target sentence of pair long has {length}.*window is {tiny.window}"
            ):
                align(tiny, [pair.reverse()], on_long="raise")
        else:
            align(tiny, [pair.reverse()], on_long="raise")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
    def test_other_number_types(self, tmp_path: Path, dtype: str) -> None:
        folder = str(write_model(tmp_path, "bert"))
        encoder = load_model(folder, dtype=dtype)
        pairs = [self.PAIR, self.PAIR.reverse()]
        for subword in ("any", "mean"):
            exact = align(load_model(folder), pairs, "forward", "softmax", subword=subword)
            for system, links in align(encoder, pairs, "forward", "softmax", subword=subword).items():
                for own, other in zip(links, exact[system], strict=True):
                    assert own.scores is not None
                    assert own.scores.dtype == np.float32
                    common = set(own) & set(other)
                    assert len(common) >= 0.8 * len(other)
                    if dtype == "float64":
                        assert own == other
        with pytest.raises(InputError, match="simalign computes in float32 only"):
            make_aligner(AlignerSettings(encoder, ("simalign:argmax",)))
        assert make_aligner(AlignerSettings(encoder)).describe()["dtype"] == dtype  # type: ignore[attr-defined]

    @pytest.mark.parametrize("place", [0, 3, 6])
    @pytest.mark.parametrize("side", ["source", "target"])
    @pytest.mark.parametrize("repeated", [1, 200])
    def test_nan_names_the_pair(self, tmp_path: Path, place: int, side: str, repeated: int) -> None:
        """One word has a vector of NaN; only the sentence that holds it is to blame."""
        encoder = load_model(str(write_model(tmp_path, "bert")))
        pairs = [SentencePair(f"p{k}", self.WORDS[: k % 4 + 1], self.WORDS[k % 3 :]) for k in range(7)]
        bad = SentencePair("bad", ("the",) * repeated + ("words",), ("haus",))
        pairs[place] = bad if side == "source" else bad.reverse()
        (number,) = encoder.tokenize([("words",)]).ids[0].tolist()
        with torch.no_grad():
            encoder.model.embeddings.word_embeddings.weight[number] = torch.nan
        with pytest.raises(NonFiniteError, match=f"NaN or infinity for the {side} sentence of pair bad.*float32"):
            align(encoder, pairs, "argmax", layers=(1, 2))
        if repeated == 1:
            assert len(align(encoder, [p for p in pairs if p.id != "bad"])[System("argmax", 3)]) == 6

    def test_vectors_whose_product_overflows_name_the_pair(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def vectors(sentences: Any, layers: Any, **options: Any) -> Vectors:
            found = [torch.full((len(layers), len(ids), 4), 1e30 if len(ids) > 5 else 1.0) for ids in sentences]
            lengths = np.array([len(ids) for ids in sentences])
            return Vectors(torch.cat(found, dim=1), np.cumsum(lengths) - lengths, lengths)

        monkeypatch.setattr(tiny, "vectors", vectors)
        small = SentencePair("small", ("the",), ("a",))
        huge = SentencePair("huge", ("the",) * 6, ("a",) * 6)
        with pytest.raises(NonFiniteError, match="dot product of sentence pair huge has NaN or infinite values"):
            align(tiny, [small, huge, small], "softmax")

    def test_nan_in_simalign(self, tmp_path: Path) -> None:
        encoder = load_model(str(write_model(tmp_path, "bert")))
        aligner: Any = make_aligner(AlignerSettings(encoder, ("simalign:argmax",)))
        with torch.no_grad():
            aligner._aligner.embed_loader.emb_model.embeddings.word_embeddings.weight[:] = torch.nan
        with pytest.raises(NonFiniteError, match="simalign cannot align pair p"):
            aligner.align_all([self.PAIR])


class TestWhatIsAskedFor:
    """Names, layers and combinations."""

    def test_unknown_method(self, tiny: Any) -> None:
        with pytest.raises(UnknownNameError, match=r"unknown method 'itermx'.*'itermax'.*simalign:argmax.*softmax"):
            make_aligner(AlignerSettings(tiny, ("itermx",)))

    def test_unknown_names_are_found_before_the_model_is_loaded(self) -> None:
        for method in ("itermx", "softmax:treshold=1", "simalign:itermx"):
            with pytest.raises(UnknownNameError):
                make_aligner(AlignerSettings("no/such/model/anywhere", (method,)))

    @pytest.mark.parametrize("layer", [-1, 5, 100])
    def test_layer_out_of_range(self, tiny: Any, layer: int) -> None:
        with pytest.raises(InputError, match=rf"layer {layer} of .*which has 4.*from 0 \(embeddings\) to 4"):
            make_aligner(AlignerSettings(tiny, layers=(2, layer)))

    def test_mixed_aligners_and_no_method(self, tiny: Any) -> None:
        with pytest.raises(InputError, match="argmax, simalign:argmax belong to different aligners"):
            make_aligner(AlignerSettings(tiny, ("argmax", "simalign:argmax")))
        with pytest.raises(InputError, match="no method is asked for"):
            make_aligner(AlignerSettings(tiny, ()))

    @pytest.mark.parametrize("wrong", [{"subword": "first"}, {"on_long": "cut"}])
    def test_unknown_rules(self, tiny: Any, wrong: dict[str, str]) -> None:
        with pytest.raises(InputError, match=r"is not known\. Give one of"):
            AlignerSettings(tiny, **wrong)

    def test_what_is_named_twice_is_done_once(self, tiny: Any) -> None:
        methods = ("softmax", "argmax", "softmax:threshold=0.001", "argmax")
        aligner = make_aligner(AlignerSettings(tiny, methods, (2, 1, 2)))
        names = ["softmax", "argmax"]
        assert aligner.systems == [System(name, layer) for layer in (2, 1) for name in names]
        assert [str(s) for s in aligner.systems[:2]] == ["softmax layer 2", "argmax layer 2"]

    def test_a_model_by_its_name(self, tmp_path: Path) -> None:
        folder = str(write_model(tmp_path, "bert"))
        aligner: Any = make_aligner(AlignerSettings(folder, options={"dtype": "float64"}))
        assert aligner.encoder.dtype == torch.float64
        assert aligner.layers == [3]  # two thirds of 4

    def test_every_extraction_method_is_a_method(self, tiny: Any) -> None:
        assert sorted(METHODS) == EXTRACTORS.names()
        make_aligner(AlignerSettings(tiny, tuple(EXTRACTORS.names())))
