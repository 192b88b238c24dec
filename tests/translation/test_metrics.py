"""sacrebleu's numbers as its own functions and command line give them; seeds, signatures, paired tests, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from align_eval.errors import InputError, LengthMismatchError, UnknownNameError
from align_eval.translation.metrics import (
    METRICS,
    default_tokenizer,
    make_metrics,
    paired_translation_tests,
    score_translations,
    sentence_scores,
)

REFERENCES = [
    "A man in an orange hat is staring at something.",
    "Two young men are outside near many bushes.",
    "The small house stands by the old river.",
    "Hi.",
    "She didn't say what she wanted (again).",
    "There is a dog on the grass , and it runs .",
]
GOOD = [
    "A man in an orange hat stares at something.",
    "Two young men are outdoors near many bushes.",
    "The little house stands by the old river.",
    "Hello.",
    "She did not say what she wanted (again).",
    "There is a dog on the grass, and it runs.",
]
BAD = [
    "Man with hat.",
    "Two bushes are near the young men outside of it.",
    "",
    "Hi.",
    "What she wanted she did say.",
    "Dog grass runs.",
]


def test_numbers_are_those_of_sacrebleu() -> None:
    for hypotheses in (GOOD, BAD, REFERENCES):
        found = score_translations(hypotheses, REFERENCES, resamples=0)
        assert list(found) == list(METRICS)
        assert found["bleu"].score == sacrebleu.corpus_bleu(hypotheses, [REFERENCES]).score
        assert found["chrf"].score == sacrebleu.corpus_chrf(hypotheses, [REFERENCES]).score
        assert found["ter"].score == sacrebleu.corpus_ter(hypotheses, [REFERENCES]).score
        assert all(metric.ci is None for metric in found.values())
    assert found["bleu"].score == pytest.approx(100)
    assert found["ter"].score == 0
    assert found["bleu"].signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    assert "nc:6|nw:0" in found["chrf"].signature
    assert "tok:tercom" in found["ter"].signature


def test_intervals_and_signatures_are_those_of_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("\n".join(REFERENCES) + "\n", "utf-8")
    (tmp_path / "hyp").write_text("\n".join(GOOD) + "\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "ter", "--confidence",
         "--confidence-n", "300", "-w", "6"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ, "SACREBLEU_SEED": "77"},
    )  # fmt: skip
    theirs = json.loads(done.stdout)
    found = score_translations(GOOD, REFERENCES, resamples=300, seed=77)
    for metric, row in zip(found.values(), theirs, strict=True):
        assert metric.signature == row["signature"]
        assert metric.score == pytest.approx(row["score"], abs=1e-6)
        assert metric.ci is not None
        assert sum(metric.ci) / 2 == pytest.approx(row["confidence_mean"], abs=1e-4)
        assert (metric.ci[1] - metric.ci[0]) / 2 == pytest.approx(row["confidence_var"], abs=1e-4)
    assert "SACREBLEU_SEED" not in os.environ or os.environ["SACREBLEU_SEED"] != "77"


def test_seeds_decide_the_resamples() -> None:
    first = score_translations(GOOD, REFERENCES, resamples=100, seed=1)
    assert first == score_translations(GOOD, REFERENCES, resamples=100, seed=1)
    assert first["bleu"].ci != score_translations(GOOD, REFERENCES, resamples=100, seed=2)["bleu"].ci
    some = score_translations(["Hi.", "x x x x"], ["Hi.", "y y y y"], resamples=50)  # sacrebleu's own call fails here
    assert some["bleu"].ci is not None
    nothing = score_translations(["x"] * 6, REFERENCES, resamples=50)
    assert nothing["bleu"].score == 0
    assert nothing["bleu"].ci == (0, 0)


def test_the_paired_tests_are_sacrebleus(monkeypatch: pytest.MonkeyPatch) -> None:
    found = paired_translation_tests(
        [GOOD, BAD, GOOD], REFERENCES, tests=("randomisation", "bootstrap"), resamples=200, seed=5
    )
    assert len(found) == 2
    monkeypatch.setenv("SACREBLEU_SEED", "5")
    for test, theirs in (("randomisation", "ar"), ("bootstrap", "bs")):
        signatures, scores = PairedTest(
            [("a", GOOD), ("b", BAD)], {"BLEU": BLEU(force=True)}, [REFERENCES], test_type=theirs, n_samples=200
        )()
        own = found[0]["bleu"][test]
        assert own.p_value == scores["BLEU"][1].p_value
        assert own.difference == scores["BLEU"][1].score - scores["BLEU"][0].score
        assert own.signature == str(signatures["BLEU"])
        assert f"{theirs}:200|seed:5" in own.signature
        assert found[0]["ter"][test].difference > 0 > own.difference
        assert found[1]["bleu"][test].difference == 0
        assert found[1]["bleu"][test].p_value == 1
    assert paired_translation_tests([GOOD], REFERENCES) == []


@pytest.mark.parametrize("test", ["randomisation", "bootstrap"])
def test_no_difference_is_not_significant(test: str) -> None:
    """BLEU of both is 0, for none of them has four words: no trial has a difference greater than that."""
    (found,) = paired_translation_tests(
        [["the house", "yes"], ["a house", "no"]], ["the house", "yes"], tests=[test], resamples=20
    )
    assert (found["bleu"][test].difference, found["bleu"][test].p_value) == (0, 1)


def test_sentence_scores_are_sacrebleus() -> None:
    found = sentence_scores(BAD, REFERENCES)
    for k, (hypothesis, reference) in enumerate(zip(BAD, REFERENCES, strict=True)):
        assert found["bleu"][k] == sacrebleu.sentence_bleu(hypothesis, [reference]).score
        assert found["chrf"][k] == sacrebleu.sentence_chrf(hypothesis, [reference]).score
        assert found["ter"][k] == sacrebleu.sentence_ter(hypothesis, [reference]).score


def test_the_tokenizer_follows_the_language() -> None:
    assert [default_tokenizer(code) for code in (None, "de", "zh", "ja", "ko")] == [
        "13a", "13a", "zh", "ja-mecab", "ko-mecab",
    ]  # fmt: skip
    chinese = score_translations(["我喜欢猫。"], ["我爱猫。"], resamples=0, language="zh")
    assert "tok:zh" in chinese["bleu"].signature
    assert "asian:yes" in chinese["ter"].signature
    assert chinese["ter"].score == pytest.approx(50)  # five characters for four: two edits
    assert "tok:char" in score_translations(["a"], ["a"], resamples=0, tokenize="char")["bleu"].signature


def test_what_is_refused() -> None:
    with pytest.raises(LengthMismatchError, match="5 translations but 6 references"):
        score_translations(GOOD[:5], REFERENCES)
    with pytest.raises(InputError, match="no sentence"):
        score_translations([], [])
    with pytest.raises(InputError, match="seed of 1 or more"):
        score_translations(GOOD, REFERENCES, seed=0)
    with pytest.raises(UnknownNameError, match="13a"):
        make_metrics(None, "13b")
    with pytest.raises(UnknownNameError, match="randomisation"):
        paired_translation_tests([GOOD, BAD], REFERENCES, tests=("wilcoxon",))
    with pytest.raises(InputError, match="at least one resample"):
        paired_translation_tests([GOOD, BAD], REFERENCES, resamples=0)
