"""``align-eval score``: published figures, input of every kind, errors, output."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from align_eval.cli import main
from align_eval.corpora.linkio import read_links
from align_eval.scoring import Signature, score

SENTENCES = {
    "deen-rwth": ("deen-rwth/deen.talp", "deen-rwth/test.de-en"),
    "enfr-wpt": ("enfr-wpt/enfr.gold", "enfr-wpt/enfr.src-tgt"),
    "roen-wpt": ("roen-wpt/roen.gold", "roen-wpt/roen.src-tgt"),
    "jaen-kftt": ("jaen-kftt/jaen.talp", "jaen-kftt/test.ja-en"),
}

# Name of the gold, file, options, and published: AER, precision, recall, links; with the digits that were printed.
PUBLISHED = [
    ("enfr-wpt", "awesome-align/enfr.awesome-align.out", "st", ("4.07", "96.27", "95.42", "6038")),
    ("jaen-kftt", "awesome-align/jaen.awesome-align.out", "st", ("37.36", "72.74", "55.01", "10256")),
    ("deen-rwth", "cross-align/deen.out", "st", ("13.53", "92.0", "81.5", "8748")),
]


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``align-eval``."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    code = left.value.code
    return code if isinstance(code, int) else 0, out, err


def scored(capsys: pytest.CaptureFixture[str], *words: str | Path) -> list[dict[str, Any]]:
    """What ``align-eval score ... --json`` prints."""
    code, out, err = run(capsys, "score", *words, "--json")
    assert code == 0, err
    parsed = json.loads(out)
    assert isinstance(parsed, list)
    return parsed


def printed(value: float, like: str) -> str:
    """``value`` with as many decimals as ``like`` has."""
    return f"{value:.{len(like.partition('.')[2])}f}"


def results(file: Path) -> dict[str, tuple[float, float, float, int]]:
    """The figures of one of lilt's result files, by name of the scored file."""
    out = {}
    for line in file.read_text().splitlines():
        name, _, figures = line.partition(": ")
        aer, rest = figures.split(" (")
        precision, recall, links = rest.rstrip(")").split("/")
        out[name] = (float(aer[:-1]), float(precision[:-1]), float(recall[:-1]), int(links))
    return out


@pytest.mark.shared
@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize(("testset", "file", "order", "published"), PUBLISHED)
def test_published_figures(
    testset: str,
    file: str,
    order: str,
    published: tuple[str, ...],
    by_name: bool,
    gold_folder: Path,
    oracle_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gold, bitext = SENTENCES[testset]
    words = [testset] if by_name else [gold_folder / gold, "--bitext", gold_folder / bitext]
    [got] = scored(capsys, *words, oracle_folder / file, "--hyp-order", order, "--resamples", "0")
    figures = (got["aer"], got["precision"], got["recall"], got["links"])
    assert tuple(printed(value, like) for value, like in zip(figures, published, strict=True)) == published


@pytest.mark.shared
def test_published_figures_of_giza(gold_folder: Path, oracle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = oracle_folder / "lilt" / "giza"
    published = {name: row for name, row in results(folder / "roen-results.txt").items() if ".bpe." not in name}
    assert len(published) == 6
    for name, row in published.items():
        order = "ts" if ".reverse." in name else "st"
        [got] = scored(capsys, "roen-wpt", folder / name, "--hyp-order", order, "--resamples", "0")
        assert (*(round(got[m], 1) for m in ("aer", "precision", "recall")), got["links"]) == row


@pytest.mark.shared
def test_published_figures_of_fast_align(
    gold_folder: Path, oracle_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = oracle_folder / "lilt" / "fastalign"
    published = {name: row for name, row in results(folder / "enfr-results.txt").items() if ".bpe." not in name}
    assert len(published) == 6
    for name, (aer, precision, recall, links) in published.items():
        order = "ts" if ".reverse." in name else "st"
        [got] = scored(capsys, "enfr-wpt", folder / name, "--hyp-order", order, "--resamples", "0")
        assert got["aer"] == pytest.approx(aer, abs=0.1)
        assert got["precision"] == pytest.approx(precision, abs=0.15)
        assert got["recall"] == pytest.approx(recall, abs=0.15)
        assert got["links"] == pytest.approx(links, abs=6)


@pytest.mark.shared
def test_a_wrong_base_is_caught(gold_folder: Path, oracle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scored in the wrong base, this file gives a believable 43.7; it holds a 0."""
    file = oracle_folder / "awesome-align" / "enfr.awesome-align.out"
    code, out, err = run(capsys, "score", gold_folder / "enfr-wpt/enfr.gold", file)
    assert (code, out) == (1, "")
    assert "--gold-base" in err
    [wrong] = scored(capsys, gold_folder / "enfr-wpt/enfr.gold", file, "--gold-base", "0", "--hyp-base", "0")
    assert printed(wrong["aer"], "0.0") == "43.7"
    [right] = scored(capsys, gold_folder / "enfr-wpt/enfr.gold", file, "--gold-base", "1", "--hyp-base", "0")
    assert printed(right["aer"], "0.0") == "4.1"


@pytest.mark.shared
def test_several_systems(gold_folder: Path, oracle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = oracle_folder / "lilt" / "giza"
    files = [folder / f"test.roen.{name}.talp" for name in ("grow-diagonal-final", "grow-diagonal", "union")]
    first, same, other = scored(capsys, "roen-wpt", files[0], files[0], files[2], "--paired", "both")
    assert "p_value" not in first
    assert "difference" not in first
    assert first["system"] == str(files[0])  # two files of one name are told apart by their folders
    assert (same["p_value"], same["difference"]) == (1.0, 0.0)
    assert other["p_value"] < 0.01
    assert other["difference"] == pytest.approx(other["aer"] - first["aer"], abs=2e-6)
    assert set(other["paired"]) == {"bootstrap", "randomisation"}
    assert (other["test"], other["against"]) == ("randomisation", str(files[0]))
    low, high = other["paired"]["bootstrap"]["ci"]["aer"]
    assert low < other["difference"] < high
    signature = Signature.parse(other["signature"])
    assert (signature["set"], signature["base"], signature["hyp-base"], signature["ar"]) == (
        "roen-wpt",
        "1",
        "0",
        "1000",
    )
    [alone] = scored(capsys, "roen-wpt", files[2])
    assert alone["ci"] == other["ci"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A small gold file, two systems and their sentences."""
    (tmp_path / "gold").write_text("1-1 2p2\n1-2 2-1\n\n")
    (tmp_path / "a.links").write_text("0-0\n0-1 1-0\n\n")
    (tmp_path / "b.links").write_text("0-0 1-0\n\n\n")
    (tmp_path / "text").write_text("a b ||| c d\ne f ||| g h\ni ||| j\n")
    (tmp_path / "s").write_text("a b\ne f\ni\n")
    (tmp_path / "t").write_text("c d\ng h\nj\n")
    return tmp_path


def test_json_and_signature_of_a_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [got] = scored(capsys, files / "gold", files / "a.links", "--bitext", files / "text", "--alpha", "0.3")
    expected = score(read_links(files / "gold", base=1), read_links(files / "a.links", base=0), alpha=0.3).to_json()
    signature = Signature.parse(got.pop("signature"))
    expected.pop("signature")
    assert got.pop("system") == "a.links"
    assert got == expected
    digest = hashlib.sha256((files / "gold").read_bytes()).hexdigest()[:8]
    assert str(signature).startswith(
        f"set:gold|sha256:{digest}|sentences:3|base:1|hyp-base:0|nulls:drop|sym:unknown|alpha:0.3|bs:1000|ci:studentised|seed:12345|"
    )
    assert (got["sure"], got["possible"], got["links"], got["sentences"]) == (3, 4, 3, 3)


def test_sentences_in_two_files_prove_the_same(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = scored(capsys, files / "gold", files / "a.links", "--bitext", files / "text")
    two = scored(capsys, files / "gold", files / "a.links", "--source", files / "s", "--target", files / "t")
    given = scored(capsys, files / "gold", files / "a.links", "--gold-base", "1", "--hyp-base", "0")
    assert one == two == given


def test_compressed_gold_and_standard_input(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "gold.gz").write_bytes(gzip.compress((files / "gold").read_bytes()))
    [plain] = scored(capsys, files / "gold", files / "a.links", "--gold-base", "1")
    stream = io.TextIOWrapper(io.BytesIO((files / "a.links").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    [other] = scored(capsys, files / "gold.gz", "-", "--gold-base", "1")
    assert other["system"] == "stdin"
    assert other["signature"] == plain["signature"].replace("set:gold|", "set:gold.gz|")
    assert other["ci"] == plain["ci"]
    code, _, err = run(capsys, "score", "-", "-")
    assert code == 1
    assert "standard input can be read once only" in err


def test_a_file_goes_before_a_test_set(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    (files / "roen-wpt").write_text("1-1\n1-2 2-1\n\n")
    [got] = scored(capsys, "roen-wpt", "a.links", "--gold-base", "1")
    assert got["sentences"] == 3


def test_order_and_format_of_the_systems(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "reverse").write_text("0-0\n1-0 0-1\n\n")
    (files / "wpt").write_text("1 1 1\n2 1 2\n2 2 1\n")
    base = ("--gold-base", "1", "--resamples", "0")
    [plain] = scored(capsys, files / "gold", files / "a.links", *base)
    [turned] = scored(capsys, files / "gold", files / "reverse", *base, "--hyp-order", "ts")
    assert turned["aer"] == plain["aer"]
    assert Signature.parse(turned["signature"])["hyp-order"] == "ts"
    [naacl] = scored(
        capsys, files / "gold", files / "wpt", "--bitext", files / "text", "--hyp-format", "naacl", "--resamples", "0"
    )
    assert naacl["aer"] == plain["aer"]


def test_null_links_and_links_out_of_range(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "odd").write_text("0-0 0--1\n0-1 1-7\n\n")
    words = (files / "gold", files / "odd", "--bitext", files / "text")
    code, out, err = run(capsys, "score", *words)
    assert (code, out) == (1, "")
    assert "odd:2: link 1-7" in err
    code, out, err = run(capsys, "score", *words, "--out-of-range", "drop", "--json")
    [got] = json.loads(out)
    assert code == 0
    assert "1 links out of range left out" in err
    assert "Traceback" not in err
    assert got["links"] == 2
    assert Signature.parse(got["signature"])["range"] == "drop"
    code, out, err = run(capsys, "score", *words, "--out-of-range", "drop", "--nulls", "raise")
    assert (code, out) == (1, "")
    assert "odd:1" in err


def test_table(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "score", files / "gold", files / "a.links", files / "b.links", "--gold-base", "1")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "gold: 3 sentence pairs (fewer than 50: take intervals and p-values for rough ones)"
    assert lines[1].split() == ["system", "AER", "95%", "interval", "precision", "recall", "F1", "links", "ΔAER", "p"]
    assert lines[3].split()[:2] == ["a.links", "0.00"]
    assert lines[4].split()[:2] == ["b.links", "60.00"]
    assert lines[6].startswith("a.links: set:gold|")
    assert not any(line.endswith(" ") for line in lines)
    _, out, _ = run(
        capsys, "score", files / "gold", files / "a.links", files / "b.links", "--gold-base", "1",
        "--resamples", "0", "--alpha", "0.2",
    )  # fmt: skip
    assert out.splitlines()[1].split() == ["system", "AER", "precision", "recall", "F1", "F(0.2)", "links"]


def test_latex(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "a_b&c%.links").write_bytes((files / "b.links").read_bytes())
    words = (files / "gold", files / "a.links", files / "a_b&c%.links", "--gold-base", "1", "--latex")
    code, out, _ = run(capsys, "score", *words)
    assert code == 0
    assert out.startswith("% a.links: set:gold|")
    assert r"\begin{tabular}{lrrrrrrrr}" in out
    assert r"a\_b\&c\%.links & 60.00 & " in out
    assert r"$\Delta$AER" in out


def test_breakdown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "text").write_text("漢字 b ||| c क्षि\ne f ||| g h\ni ||| j\n")
    words = (files / "gold", files / "b.links", "--bitext", files / "text", "--breakdown")
    [got] = scored(capsys, *words)
    parts = got["breakdown"]
    assert sum(part["links"] for part in parts["by_length"]) == got["links"]
    assert parts["wrong_pairs"] == [{"source": "b", "target": "c", "count": 1}]
    assert parts["null_words"]["source"] == {"words": 5, "null": 1, "null_linked": 0, "linked": 3, "linked_null": 2}
    code, out, _ = run(capsys, "score", *words)
    assert code == 0
    for title in ("by source words", "by distance from the diagonal", "by kind of link", "null words", "wrong pairs"):
        assert f"b.links: {title}" in out or f"b.links: most frequent {title}" in out
    [alone] = scored(capsys, files / "gold", files / "b.links", "--gold-base", "1", "--breakdown")
    assert set(alone["breakdown"]) == {"by_kind"}


def test_per_sentence(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (files / "gold", files / "b.links", "--gold-base", "1")
    scored(capsys, *words, "--per-sentence", files / "out.tsv")
    assert (files / "out.tsv").read_text().splitlines() == [
        "system\tsentence\tlinks\tsure\tlinks_sure\tlinks_possible\taer",
        "b.links\t1\t2\t1\t1\t1\t33.3333",
        "b.links\t2\t0\t2\t0\t0\t100.0000",
        "b.links\t3\t0\t0\t0\t0\t-",
    ]
    code, _, err = run(capsys, "score", *words, "--per-sentence", files / "nowhere" / "out.tsv")
    assert code == 1
    assert "create it first" in err


@pytest.mark.parametrize("large", [1 << 22, 0])
def test_blocks_give_the_same_as_the_whole(
    large: int, files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where files are read ahead in threads, as large ones are."""
    words = (files / "gold", files / "a.links", files / "b.links", "--gold-base", "1")
    whole = scored(capsys, *words)
    monkeypatch.setattr("align_eval.scoring.systems._LARGE", large)
    for size in (1, 2):
        monkeypatch.setattr("align_eval.scoring.systems._BLOCK", size)
        assert scored(capsys, *words) == whole
    short = files / "short"
    short.write_text("0-0\n0-1\n")
    code, _, err = run(capsys, "score", files / "gold", files / "a.links", short, "--gold-base", "1")
    assert code == 1
    assert "short: 2 sentence pairs, but 3 in" in err
    assert err.count("\n") == 1
    (files / "bad").write_text("0-0\n0-x\n\n")
    code, _, err = run(capsys, "score", files / "gold", files / "a.links", files / "bad", "--gold-base", "1")
    assert code == 1
    assert "bad:2: " in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no sentence pairs"), ("\n\n\n", "3 sentence pairs but not a single link")],
)
def test_empty_gold(content: str, message: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "empty").write_text(content)
    code, out, err = run(
        capsys, "score", files / "empty", files / "a.links", "--gold-base", "1", "--gold-format", "pharaoh"
    )
    assert (code, out) == (1, "")
    assert message in err
    assert str(files / "empty") in err


def test_errors_are_one_line_with_a_remedy(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "bad").write_text("0-0\n0-x\n\n")
    (files / "latin").write_bytes(b"0-0\n0-1 \xe4\n\n")
    gold = files / "gold"
    cases = [
        (("roen-wp", files / "a.links"), "'roen-wp'. Did you mean 'roen-wpt'"),
        ((files / "none", files / "a.links"), "none: no such file"),
        ((gold, files / "none", "--gold-base", "1"), "none: no such file"),
        ((gold, files / "bad", "--gold-base", "1"), "bad:2: "),
        ((gold, files / "latin", "--gold-base", "1"), "latin:2: "),
        ((gold, files / "a.links", "--gold-base", "1", "--hyp-format", "talpp"), "Did you mean 'talp'"),
        (("mini-ende", files / "a.links", "--bitext", files / "text"), "brings its own sentences"),
        ((gold, files / "a.links", "--bitext", files / "text", "--hyp-base", "1", "--nulls", "raise"), "a.links:1: "),
    ]
    for words, message in cases:
        code, out, err = run(capsys, "score", *words)
        assert (code, out) == (1, ""), words
        assert message in err
        assert err.count("\n") == 1
        assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "--latex"),
        ("--source", "x"),
        ("--bitext", "x", "--source", "y", "--target", "z"),
        ("--confidence", "1"),
        ("--resamples", "-1"),
        ("--alpha", "1.2"),
        ("--paired", "t-test"),
        ("--gold-base", "2"),
    ],
)
def test_usage(words: tuple[str, ...], files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "score", files / "gold", files / "a.links", *words)
    assert (code, out) == (2, "")
    assert run(capsys, "score", files / "gold")[0] == 2


def test_nothing_heavy_is_imported(files: Path) -> None:
    import subprocess

    heavy = ("torch", "transformers", "datasets", "scipy", "matplotlib", "pandas", "pyarrow", "numpy.ma", "rich")
    program = (
        "import sys\nfrom align_eval.cli import main\n"
        f"try:\n    main(['score', 'gold', 'a.links', 'b.links', '--bitext', 'text'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=files, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
