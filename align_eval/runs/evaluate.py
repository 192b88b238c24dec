"""Align test sets in every way asked for and score the links: one pass of the model a test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from align_eval.link_table import LinkTable
from align_eval.scoring import Score, Signature, paired_tests, score_counts
from align_eval.scoring.counts import counts
from align_eval.scoring.systems import SystemScore

if TYPE_CHECKING:
    from align_eval.aligners import Aligner, System
    from align_eval.corpora import TestSet
    from align_eval.links import Links

# Pairs handed to the aligner at a time; it sorts them by length.
BLOCK = 2048


@dataclass(frozen=True)
class Evaluation:
    """One system on one test set.

    Attributes:
        testset: name of the test set.
        model: name of the model.
        system: method and layer.
        links: the links found, with scores where the method gives them.
        result: scores, counts and paired tests against the first system on the same test set.
    """

    testset: str
    model: str
    system: System
    links: LinkTable
    result: SystemScore

    @property
    def score(self) -> Score:
        """Corpus scores with intervals and signature."""
        return self.result.score

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        found = self.result.to_json()
        where = {"testset": self.testset, "model": self.model, "method": self.system.method}
        return {"system": found.pop("system"), **where, "layer": self.system.layer, **found}


def evaluate_testset(
    testset: TestSet,
    aligner: Aligner,
    *,
    resamples: int = 1000,
    seed: int = 12345,
    alpha: float = 0.5,
    confidence: float = 0.95,
    tests: Sequence[str] = ("randomisation",),
    progress: Callable[[int], None] | None = None,
) -> list[Evaluation]:
    """Align a test set with every system of ``aligner`` and score the links.

    Args:
        testset: of :func:`align_eval.load_testset`.
        aligner: of :func:`align_eval.aligners.make_aligner`.
        resamples, seed, alpha, confidence: see :func:`align_eval.scoring.score`.
        tests: paired tests of every later system against the first; none without resamples.
        progress: called with the number of pairs aligned since the last call.

    Returns:
        one evaluation a system, in the order of ``aligner.systems``.
    """
    found: dict[System, list[Links]] = {system: [] for system in aligner.systems}
    block = max(len(testset.pairs), 1) if aligner.whole_corpus else BLOCK
    for start in range(0, len(testset.pairs), block):
        part = testset.pairs[start : start + block]
        for system, links in aligner.align_all(part).items():
            found[system].extend(links)
        if progress:
            progress(len(part))
    out: list[Evaluation] = []
    for system, items in found.items():
        table = LinkTable.from_links(items)
        rows = counts(testset.gold, table)
        description = aligner.signature(system)
        name = " ".join(filter(None, (description.get("model"), str(system))))
        tested = {}
        if out and resamples and tests:
            tested = paired_tests(
                out[0].result.counts, rows, tests=tests, resamples=resamples, seed=seed, alpha=alpha,
                confidence=confidence,
            )  # fmt: skip
        signature = Signature(
            {
                "set": testset.name,
                "sha256": testset.checksum[:8],
                "base": testset.base,
                "nulls": "drop",
                "sym": "none",
                "ar": resamples if "randomisation" in tested else None,
                **description,
            }
        )
        score = score_counts(
            rows, testset.gold.links, resamples=resamples, seed=seed, alpha=alpha, confidence=confidence,
            signature=signature,
        )  # fmt: skip
        against = out[0].result.name if out else None
        result = SystemScore(name, score, rows, against, tested)
        out.append(Evaluation(testset.name, description.get("model", ""), system, table, result))
    return out
