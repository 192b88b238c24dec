"""Links against gold: measures, intervals, paired tests, breakdown, signature."""

from align_eval.scoring.breakdown import Breakdown, breakdown
from align_eval.scoring.measures import COLUMNS, MEASURES, counts, measures
from align_eval.scoring.paired import PairedTest, paired_tests
from align_eval.scoring.score import Score, score, score_counts
from align_eval.scoring.signature import SIGNATURE_KEYS, Signature

__all__ = [
    "COLUMNS", "MEASURES", "SIGNATURE_KEYS", "Breakdown", "PairedTest", "Score", "Signature", "breakdown", "counts",
    "measures", "paired_tests", "score", "score_counts",
]  # fmt: skip
