"""How often a hidden word is found: with the source beside it, and with the source of another sentence in its place.

Held-out pairs in tokenised style, both directions, words hidden by random share, span and suffix. The other source is
that of the pair which is nearest in length of source, so that nothing but its words changes. A word is right if each of
its sub-words is the most probable one; all hidden words are filled in one pass. Intervals: 95 %, over sentences.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sibling import sibling

STRATEGIES = ("random 0.15", "random 0.3", "random 0.5", "random 0.75", "random 1.0", "span 0.5", "suffix 0.5")
SETS = ("multi30k-test", "tatoeba-test")


def hidden_words(plan: str, count: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The words of a sentence of `count` words that a plan hides, one at least."""
    kind, share = plan.split()
    size = max(1, round(float(share) * count))
    if kind == "random":
        return tuple(sorted(rng.choice(count, size, replace=False).tolist()))
    start = int(rng.integers(0, count - size + 1)) if kind == "span" else count - size
    return tuple(range(start, start + size))


def other_sources(sources: Sequence[Sequence[str]]) -> list[int]:
    """For each sentence another one of like length: its neighbour in a list sorted by length."""
    order = sorted(range(len(sources)), key=lambda k: (len(sources[k]), k))
    after = [*order[1:], order[0]] if len(order) > 1 else order
    out = [0] * len(order)
    for k, neighbour in zip(order, after, strict=True):
        out[k] = neighbour
    out[order[-1]] = order[-2] if len(order) > 1 else order[-1]
    return out


def accuracy(hits: np.ndarray, counts: np.ndarray, seed: int = 1) -> dict[str, Any]:
    """Share of words that are right, with its interval over sentences; hits and counts by sentence."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(hits), (1000, len(hits)))
    shares = hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {
        "right": round(float(hits.sum() / counts.sum()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "words": int(counts.sum()),
    }


def evaluate(model: Any, data: Path, limit: int, plans: Sequence[str] = STRATEGIES) -> dict[str, Any]:
    """Accuracies by set, direction, plan and condition ("source", "other source")."""
    from align_eval import SentencePair, infill

    text = sibling("text")
    result: dict[str, Any] = {}
    for name in SETS:
        lines = {s: (data / f"{name}.{s}").read_text("utf-8").splitlines()[:limit] for s in ("de", "en")}
        sides = {s: [tuple(text.tokenise(text.clean(x), s).split(" ")) for x in lines[s]] for s in ("de", "en")}
        for source, target in (("de", "en"), ("en", "de")):
            begun = time.time()
            others = other_sources(sides[source])
            masks = [
                [hidden_words(plan, len(words), np.random.default_rng((7, k, p))) for p, plan in enumerate(plans)]
                for k, words in enumerate(sides[target])
            ]
            for condition in ("source", "other source"):
                shown = sides[source] if condition == "source" else [sides[source][k] for k in others]
                pairs = [SentencePair(str(k), a, b) for k, (a, b) in enumerate(zip(shown, sides[target], strict=True))]
                hits = np.zeros((len(plans), len(pairs)))
                counts = np.zeros((len(plans), len(pairs)))
                for found in infill(model, pairs, masks, heads=[(1, "mean")], top=1):
                    for p, variant in enumerate(found.variants):
                        hits[p, found.index] = sum(word.rank == 1 for word in variant.filled)
                        counts[p, found.index] = len(variant.filled)
                for p, plan in enumerate(plans):
                    row = accuracy(hits[p], counts[p])
                    result.setdefault(f"{name} {source}-{target} {plan}", {})[condition] = row
            for plan in plans:
                row = result[f"{name} {source}-{target} {plan}"]
                told = "; ".join(f"{what}: {100 * row[what]['right']:.1f} %" for what in row)
                print(f"{name} {source}-{target} {plan}: {told}", flush=True)
            print(f"({time.time() - begun:.0f} s)", file=sys.stderr)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder that export.py wrote")
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    parser.add_argument("--limit", type=int, default=300, help="first so many sentences of each set")
    parser.add_argument("--quick", action="store_true", help="20 sentences of each set, two plans")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    import torch

    from align_eval import load_model

    torch.set_num_threads(1)
    model = load_model(str(args.model), head="mlm")
    limit, plans = (20, STRATEGIES[:2]) if args.quick else (args.limit, STRATEGIES)
    result = evaluate(model, args.data, limit, plans)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
