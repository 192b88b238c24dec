"""No result keeps a model alive: whatever a verb gives back, the weights go when the caller lets go of the model."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import align_eval as ae
from align_eval.attribution.collect import attention_maps, word_matrices
from align_eval.errors import InputError
from align_eval.models import families as loaded_families
from align_eval.models.translation import Decoding
from align_eval.runs.infill import infill_testset
from align_eval.runs.infill_pair import infill_pair
from align_eval.runs.parallel_text import open_text
from align_eval.runs.selection import select
from align_eval.runs.sweep import split, sweep_testset
from align_eval.translation import translate as translate_module
from align_eval.translation.translate import TranslateSettings, translate_and_score
from tests.infilling.models import marian_folder
from tests.models import families
from tests.runs.links_of_head import attention_links


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("models")
    for kind in ("marian", "bert"):
        model, tokenizer = families.parts(kind, length=200)
        model.save_pretrained(place / kind)
        tokenizer.save_pretrained(place / kind)
    return {
        "encoder": str(place / "bert"),
        "seq2seq": str(place / "marian"),
        "masked": str(marian_folder(decoder_mode="masked")),
    }


@pytest.fixture(scope="module")
def few() -> Any:
    whole = ae.load_testset("mini-ende")
    return whole.part([k for k, pair in enumerate(whole) if len(pair.source) + len(pair.target) < 16][:6])


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many of the models that were loaded since are still there."""
    made: list[weakref.ref[Any]] = []
    make = loaded_families.make

    def watched(family: str, name: str, model: Any, *arguments: Any, **known: Any) -> Any:
        made.append(weakref.ref(model))
        return make(family, name, model, *arguments, **known)

    monkeypatch.setattr(loaded_families, "make", watched)

    def count() -> int:
        assert made
        gc.collect()
        return sum(ref() is not None for ref in made)

    return count


def swept(folders: dict[str, str], few: Any) -> Any:
    model = ae.load_model(folders["encoder"])
    parts = split(len(few.pairs), 0.4, 1)
    found = sweep_testset(few, model, layers=[1, 2], development=parts[0])
    return found, [select(found, name, parts, max_heads=2, resamples=10, seed=1) for name in ("best", "greedy")]


def translated(folders: dict[str, str], few: Any) -> Any:
    text = open_text("mini-ende", reverse=True, limit=5)
    how = TranslateSettings(decoding=Decoding(1, 5), aligner=folders["encoder"], resamples=10)
    return translate_and_score(text, [folders["seq2seq"], folders["seq2seq"]], how)


def texts(few: Any) -> list[tuple[str, str]]:
    return [(" ".join(pair.source), " ".join(pair.target)) for pair in few.pairs]


VERBS: dict[str, Callable[[dict[str, str], Any], Any]] = {
    "align": lambda folders, few: ae.align(texts(few), folders["encoder"], layer=2),
    "align with a model": lambda folders, few: ae.align(texts(few), ae.load_model(folders["encoder"]), layer=2),
    "evaluate": lambda folders, few: ae.evaluate("mini-ende", folders["encoder"], layers=[1], resamples=10),
    "sweep": swept,
    "translate": translated,
    "infill": lambda folders, few: infill_testset(
        few,
        ae.load_model(folders["masked"], target_language="en"),
        ["each"],
        head=(1, 1),
        resamples=10,
    ),
    "infill by name": lambda folders, few: infill_testset(
        few,
        partial(ae.load_model, folders["masked"], target_language="en"),
        ["each"],
        resamples=10,
        development=0.4,
    ),
    "infill one pair": lambda folders, few: infill_pair(
        ae.load_model(folders["masked"], target_language="en"), few.pairs[0], [0]
    ),
    "explore": lambda folders, few: ae.explore_page(texts(few)[:2], ae.load_model(folders["encoder"])),
    "maps": lambda folders, few: attention_maps(
        ae.load_model(folders["seq2seq"], target_language="en"), few.pairs, [1]
    ),
    "soft maps": lambda folders, few: list(
        word_matrices(ae.load_model(folders["seq2seq"], target_language="en"), few.pairs, [1])
    ),
    "attention links": lambda folders, few: attention_links(
        few.pairs, ae.load_model(folders["seq2seq"], target_language="en"), (1, 1, "awo")
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_result_keeps_no_model(verb: str, folders: dict[str, str], few: Any, alive: Callable[[], int]) -> None:
    result = VERBS[verb](folders, few)
    assert result is not None
    assert alive() == 0


def test_one_model_at_a_time(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch, alive: Callable[[], int]
) -> None:
    """Of several models that translate, with gold, no more than one is in memory."""
    most: list[int] = []
    load = translate_module.load_translator

    def watched(*arguments: Any, **named: Any) -> Any:
        found = load(*arguments, **named)
        most.append(alive())
        return found

    monkeypatch.setattr(translate_module, "load_translator", watched)
    how = TranslateSettings(decoding=Decoding(1, 5), aligner=None, resamples=10)
    translate_and_score(open_text("mini-ende", reverse=True, limit=5), [folders["seq2seq"]] * 3, how)
    assert most == [1, 1, 1]


def test_maps_that_are_to_be_read_again_need_the_model(folders: dict[str, str], few: Any) -> None:
    model = ae.load_model(folders["encoder"])
    found = sweep_testset(few, model, layers=[1])
    assert len(list(found.maps.batches([0, 1], [0]))) > 0
    del model
    gc.collect()
    with pytest.raises(InputError, match="Keep the model until views are selected"):
        list(found.maps.batches([0, 1], [0]))
