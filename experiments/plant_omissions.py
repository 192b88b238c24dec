"""Plant omissions and insertions in a test set with gold links, in the form of HalOmi, for ``align-eval omissions``.

Of three sentence pairs in turn, one loses words of its target together with the source words linked to nothing else,
which are marked as omitted; one gets words of another target, which are marked as made up; one stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import sys

import numpy as np

import align_eval as ae

COLUMNS = ("src_lang", "tgt_lang", "src_text", "mt_text", "omit_spans", "hall_spans", "class_hall", "class_omit")


def marked(words: list[str], inside: set[int]) -> str:
    """The words joined by spaces, those inside with marks around each."""
    return " ".join(f"<<<{word}>>>" if k in inside else word for k, word in enumerate(words))


def omitted(pair: ae.SentencePair, start: int, stop: int) -> set[int]:
    """The source words whose gold links all lie in a span of target words."""
    assert pair.gold is not None
    links = list(pair.gold.possible)
    inside = {i for i, j in links if start <= j < stop}
    return inside - {i for i, j in links if not start <= j < stop}


def plant(testset: str, seed: int) -> list[list[str]]:
    """The rows of a file."""
    loaded = ae.load_testset(testset)
    rng = np.random.default_rng(seed)
    languages = [loaded.source_language or "und", loaded.target_language or "und"]
    rows = []
    for k, pair in enumerate(loaded.pairs):
        source, target = list(pair.source), list(pair.target)
        left_out: set[int] = set()
        made_up: set[int] = set()
        if k % 3 == 0:
            spans = [(a, a + n) for n in (2, 3) for a in range(len(target) - n) if omitted(pair, a, a + n)]
            if spans:
                start, stop = spans[int(rng.integers(len(spans)))]
                left_out = omitted(pair, start, stop)
                del target[start:stop]
        elif k % 3 == 1:
            other = list(loaded.pairs[(k + 7) % len(loaded.pairs)].target[:-1])
            size = min(3, len(other))
            first, place = int(rng.integers(len(other) - size + 1)), int(rng.integers(len(target)))
            target[place:place] = other[first : first + size]
            made_up = set(range(place, place + size))
        rows.append([
            *languages, " ".join(source), " ".join(target), marked(source, left_out), marked(target, made_up),
            "2_Small_hallucination" if made_up else "1_No_hallucination",
            "2_Small_omission" if left_out else "1_No_omission",
        ])  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("testset", nargs="?", default="mini-ende")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerows([COLUMNS, *plant(asked.testset, asked.seed)])


if __name__ == "__main__":
    main()
