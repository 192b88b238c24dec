"""The statistical aligners by their real package, on the project's own corpus and a small part of the shared text."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.aligners.statistical import SYMMETRIES, EflomalOptions, FastAlignOptions, _numbered
from align_eval.cli import main
from align_eval.corpora import SentencePair, load_testset
from align_eval.errors import (
    AlignEvalWarning,
    InputError,
    MissingFileError,
    SentenceTooLongError,
    UnknownNameError,
)
from align_eval.links import Links
from align_eval.links.symmetrization import METHODS, symmetrize
from align_eval.links.table import LinkTable
from align_eval.runs.align_file import BLOCK, align_file, align_lines, align_stream
from align_eval.runs.api import align, score
from align_eval.runs.evaluate import evaluate_testset

NAMES = ("eflomal", "fast_align", "hmm", "ibm1", "ibm2", "ibm3", "ibm4")
QUICK = {"eflomal": "length=0.1,samplers=1", **dict.fromkeys(NAMES[1:], "iterations=3")}
LIMITS = {"hmm": 200, "ibm3": 200, "ibm4": 200}


@pytest.fixture(autouse=True)
def package() -> None:
    """Skip where the package is missing; in CI it must be there."""
    if importlib.util.find_spec("thot") is None:
        message = "needs the package sil-thot: pip install 'align-eval[statistical]'"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def mini() -> list[SentencePair]:
    return load_testset("mini-ende").pairs


@pytest.fixture(scope="module")
def part(gold_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 German-English pairs of the shared text, as a TSV file."""
    source = gold_folder.parent / "parallel" / "tatoeba-2018.de-en.tsv.gz"
    if not source.is_file():
        message = f"needs the shared parallel text {source}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    out = tmp_path_factory.mktemp("parallel") / "part.tsv"
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        out.write_text("".join(islice(lines, 60_000, 62_000)), encoding="utf-8")
    return out


def made(method: str) -> Any:
    return make_aligner(AlignerSettings(None, (method,)))


def quick(name: str, more: str = "") -> str:
    return f"{name}:{QUICK[name]}" + (f",{more}" if more else "")


def directions(name: str, pairs: Sequence[SentencePair], extra: Sequence[SentencePair] = ()) -> Any:
    aligner = made(quick(name))
    return aligner.directions(pairs, extra, aligner._ways[aligner.systems[0]])


def pair(source: str, target: str, id: str = "1") -> SentencePair:
    return SentencePair(id, tuple(filter(None, source.split(" "))), tuple(filter(None, target.split(" "))))


# --- both aligners ---------------------------------------------------------------------------------------------------


def test_each_direction_links_a_word_once_at_most_and_inside_its_pair(name: str, mini: list[SentencePair]) -> None:
    found = directions(name, mini)
    assert len(found.forward) == len(found.reverse) == len(mini)
    found.forward.check_range([len(p.source) for p in mini], [len(p.target) for p in mini])
    found.reverse.check_range([len(p.source) for p in mini], [len(p.target) for p in mini])
    for forward, reverse in zip(found.forward, found.reverse, strict=True):
        assert len({j for _, j in forward}) == len(forward)
        assert len({i for i, _ in reverse}) == len(reverse)
    assert sum(map(len, found.forward)) > 5 * len(mini)


def test_symmetrised_links_are_those_of_our_symmetrisation(
    name: str, mini: list[SentencePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    aligner = make_aligner(
        AlignerSettings(
            None, tuple(quick(name, f"sym={sym},rule={rule}") for sym in SYMMETRIES for rule in ("both", "either"))
        )
    )
    trained = []
    train = aligner.directions
    monkeypatch.setattr(aligner, "directions", lambda *given: trained.append(train(*given)) or trained[-1])
    found = aligner.align_all(mini)
    assert len(trained) == 1, "one training for all symmetrisations"
    for system, links in found.items():
        options = aligner._ways[system]
        if options.sym in METHODS:
            both = zip(trained[0].forward, trained[0].reverse, strict=True)
            assert links == [symmetrize(f, r, options.sym, options.rule) for f, r in both]
        else:
            assert links == list(getattr(trained[0], options.sym))


def test_empty_sides_have_no_links_and_do_not_shift_the_others(name: str, mini: list[SentencePair]) -> None:
    empty = [pair("", "a b"), pair("a b", ""), pair("", "")]
    mixed = [empty[0], *mini[:20], empty[1], *mini[20:], empty[2]]
    found = made(quick(name)).align_all(mixed)
    (links,) = found.values()
    assert len(links) == len(mixed)
    assert [k for k, p in enumerate(mixed) if not p.source or not p.target] == [0, 21, 42]
    assert not len(links[0])
    assert not len(links[21])
    assert not len(links[42])
    LinkTable.from_links(links).check_range([len(p.source) for p in mixed], [len(p.target) for p in mixed])
    assert [x for x in links if len(x)] == [x for x in made(quick(name)).align_all(mini)[aligner_key(name)] if len(x)]


def aligner_key(name: str) -> Any:
    return made(quick(name)).systems[0]


@pytest.mark.parametrize("pairs", [[], [pair("", "a")], [pair("", ""), pair("x", "")]])
def test_nothing_to_align_is_no_error(name: str, pairs: list[SentencePair]) -> None:
    (links,) = made(name).align_all(pairs).values()
    assert links == [Links()] * len(pairs)


def test_a_single_pair_of_one_word(name: str) -> None:
    (links,) = made(name).align_all([pair("Haus", "house")]).values()
    assert links[0] <= Links([(0, 0)])


def test_words_mean_nothing_to_the_packages(name: str, mini: list[SentencePair]) -> None:
    """No-break spaces, separators and the name of the null word stay inside their word."""
    odd = pair("||| <eps> a\u00a0b \u3000 \x85 x", "<eps> ||| \u2028 a\u00a0b y -", "odd")
    found = directions(name, [odd, *mini])
    found.forward.check_range([6, *(len(p.source) for p in mini)], [6, *(len(p.target) for p in mini)])
    assert len(found.forward) == len(mini) + 1


@pytest.mark.parametrize("name", ["eflomal", "fast_align", "hmm"])
def test_better_than_the_diagonal_with_2000_pairs(name: str, mini: list[SentencePair], part: Path) -> None:
    testset = load_testset("mini-ende")
    diagonal = [
        Links([(i, min(round(i * len(p.target) / len(p.source)), len(p.target) - 1)) for i in range(len(p.source))])
        for p in mini
    ]
    baseline = score(testset, diagonal, resamples=0).aer
    options = {"eflomal": "length=0.3"}.get(name, "iterations=5")
    alone = evaluate_testset(testset, made(f"{name}:{options}"), resamples=0)[0]
    method = f"{name}:train={part},train_order=ts,train_tokenize=13a,{options}"
    trained = evaluate_testset(testset, made(method), resamples=0)[0]
    assert trained.score.aer < alone.score.aer - 3
    assert trained.score.aer < baseline - 15
    assert trained.model == ""
    signature = trained.score.signature
    assert signature["method"] == name
    assert signature["sym"] == f"{'grow-diag' if name == 'fast_align' else 'grow-diag-final-and'}/either"
    assert signature["params"].startswith("train=part.tsv@")
    assert "/" not in signature["params"]


def test_training_text_is_lowercased_unless_asked() -> None:
    pairs = [pair("Das Haus", "The HOUSE"), pair("das haus", "the house")]
    assert _numbered(pairs, True) == [(["1", "2"], ["1", "2"])] * 2
    assert _numbered(pairs, False) == [(["1", "2"], ["1", "2"]), (["3", "4"], ["3", "4"])]


@pytest.mark.parametrize("known", ["extra", "test"])
def test_too_long_sentences(name: str, mini: list[SentencePair], known: str) -> None:
    limit = LIMITS.get(name, 1024)
    long = SentencePair("long", ("a",) * (limit + 1), ("b",))
    if known == "test":
        with pytest.raises(SentenceTooLongError, match=rf"pair long has {limit + 1} and 1 words.*takes {limit}"):
            directions(name, [*mini, long])
        return
    with pytest.warns(AlignEvalWarning, match=f"1 training pairs have a sentence of more than {limit} words"):
        found = directions(name, mini, [long, pair("", "x"), *mini])
    assert len(found.forward) == len(mini)


def test_the_longest_sentence_allowed_is_aligned(name: str) -> None:
    words = tuple(f"w{k}" for k in range(LIMITS.get(name, 1024)))
    if name == "eflomal":
        short = "eflomal:model=1,length=0.01,samplers=1"
    else:
        short = f"{name}:iterations=1"
    single = [pair(word, word, word) for word in words]
    (links, *_) = made(short).align_all([SentencePair("long", words, words), *single])[made(short).systems[0]]
    assert len(links) > len(words) / 2


def test_all_pairs_come_at_once(name: str, mini: list[SentencePair], tmp_path: Path) -> None:
    pairs = [SentencePair(f"{k}", p.source[:4], p.target[:4]) for k in range(40) for p in mini]
    assert len(pairs) > BLOCK
    aligner = made(quick(name))
    calls: list[int] = []
    train = aligner.directions
    aligner.directions = lambda pairs, *more: (calls.append(len(pairs)), train(pairs, *more))[1]
    (block,) = align_stream(aligner, iter(pairs), block=8)
    lines = list(align_lines(aligner, iter(pairs)))
    out = tmp_path / "out.pharaoh"
    assert align_file(aligner, pairs, out) == len(pairs)
    written = out.read_text().split("\n")
    assert calls == [len(pairs)] * 3
    assert len(block) == len(lines) == len(pairs)
    assert len(written) == len(pairs) + 1
    assert written[-1] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.pharaoh", "out.pharaoh.meta.json"]
    assert lines == written[:-1] == [str(x) for x in block]


def test_verbs_say_how_the_links_came_about(name: str, mini: list[SentencePair]) -> None:
    table = align(mini, method=quick(name, "sym=intersection"))
    found = score(load_testset("mini-ende"), table, resamples=0)
    assert found.signature["sym"] == "intersection"
    assert found.signature["method"] == name
    assert found.signature["params"] == QUICK[name]
    assert found.signature["revision"].startswith("sil-thot-")


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert not stop.value.code


def test_commands(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``align`` and ``evaluate`` load no model for it, and ``score`` shows the symmetrisation."""
    out, method = tmp_path / "out", quick(name)
    run("align", "--testset", "mini-ende", "--method", method, "-o", str(out))
    assert len(out.read_text().splitlines()) == 40
    capsys.readouterr()
    gold = next(f for f in load_testset("mini-ende").files if str(f).endswith(".talp"))
    run("score", str(gold), str(out), "--json", "--resamples", "0")
    (row,) = json.loads(capsys.readouterr().out)
    assert f"|sym:{'grow-diag' if name == 'fast_align' else 'grow-diag-final-and'}/either|" in row["signature"]
    run("evaluate", "mini-ende", "mini-enfr", "--method", method, "--json", "--resamples", "0", "-m", "no/model")
    assert [row["testset"] for row in json.loads(capsys.readouterr().out)] == ["mini-ende", "mini-enfr"]


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("eflomal:modle=2", UnknownNameError, "Did you mean 'model'"),
        ("eflomal:model=4", InputError, "at least 1 and at most 3"),
        ("eflomal:model=two", InputError, "eflomal:model=3"),
        ("eflomal:null=nan", InputError, "at least 0 and at most 1"),
        ("eflomal:model", InputError, "model=<whole number>"),
        ("eflomal:sym=grow-diagonal", UnknownNameError, "grow-diag"),
        ("eflomal:rule=neither", UnknownNameError, "either"),
        ("eflomal:lowercase=maybe", InputError, "eflomal:lowercase=yes"),
        ("eflomal:train=", InputError, "train=FILE"),
        ("eflomal:train_order=de", UnknownNameError, "st"),
        ("eflomal:model=1,model=2", InputError, "given twice"),
        ("eflomal:seed=-1", InputError, "at least 0"),
        ("eflomal:train=/no/such/file.tsv", MissingFileError, "no such file"),
        ("eflomal:train_tokenize=13b", (), ""),
    ],
)
def test_options_of_eflomal_are_checked(method: str, error: Any, message: str) -> None:
    if error == ():
        assert made(method).systems[0].method == method  # read with the first training file
        return
    with pytest.raises(error, match=message):
        made(method)


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("fast_align:iteration=2", UnknownNameError, "Did you mean 'iterations'"),
        ("fast_align:iterations=0", InputError, "at least 1"),
        ("fast_align:seed=1", UnknownNameError, "iterations"),
        ("fast_align:tension=2", UnknownNameError, "iterations"),
        ("hmm:iterations=0", InputError, "the method hmm|at least 1"),
        ("fast_align:null=1", InputError, "at most"),
    ],
)
def test_options_of_fast_align_are_checked(method: str, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        made(method)


def test_a_layer_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no layers"):
        make_aligner(AlignerSettings(None, (name,), (3,)))


def test_defaults_and_what_differs_from_them() -> None:
    assert EflomalOptions().changed() == []
    assert FastAlignOptions().sym == "grow-diag"
    options = EflomalOptions(train=("a", "b"), lowercase=False, model=3, null=0.1)
    assert options.train == ("a", "b")
    assert options.changed() == [("lowercase", "false"), ("train", "a"), ("train", "b"), ("null", 0.1)]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "thot" else find(n, *a))
    for name in NAMES:
        with pytest.raises(InputError, match=r"needs the package.*pip install 'align-eval\[statistical\]'"):
            made(name)


def test_import_is_light() -> None:
    code = (
        "import sys, align_eval.aligners.statistical\n"
        "print(sorted({'torch', 'transformers', 'thot'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# --- repeatable ------------------------------------------------------------------------------------------------------

_LINKS = """
import sys
from align_eval.aligners import AlignerSettings, make_aligner
from align_eval.corpora import load_testset
for found in make_aligner(AlignerSettings(None, (sys.argv[1],))).align_all(load_testset("mini-ende").pairs).values():
    print(*found, sep="\\n")
"""


def test_the_same_seed_gives_the_same_links_in_every_process(name: str, mini: list[SentencePair]) -> None:
    (here,) = made(quick(name)).align_all(mini).values()
    for threads in "13":
        run = subprocess.run(
            [sys.executable, "-c", _LINKS, quick(name)], capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
        )  # fmt: skip
        assert run.stdout.split("\n")[:-1] == [str(links) for links in here]


def test_another_seed_gives_other_links(mini: list[SentencePair]) -> None:
    aligner = made(quick("eflomal"))
    (one,) = aligner.align_all(mini).values()
    (two,) = made(quick("eflomal", "seed=2")).align_all(mini).values()
    assert one != two


@pytest.mark.parametrize("model", [1, 2, 3])
def test_each_model_of_eflomal_aligns(model: int, mini: list[SentencePair]) -> None:
    (links,) = made(f"eflomal:model={model},length=0.1,samplers=1").align_all(mini).values()
    assert sum(map(len, links)) > 5 * len(mini)


def test_no_warning_in_an_ordinary_run(name: str, mini: list[SentencePair]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        directions(name, mini[:5], mini[5:])
