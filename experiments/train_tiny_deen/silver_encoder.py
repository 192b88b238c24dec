"""Silver links of a multilingual encoder: fewer wrong ones than eflomal's, for `silver.py` to put in their place.

Each line of `encoder.links` is the number of a pair and its links: those of mutual argmax, and of itermax where a word
of either side has none. Long pairs come first; run again, it goes on behind the last whole line, and `silver.py` takes
eflomal's links for pairs that have no line yet.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch

Link = tuple[int, int]
CHUNK = 1024


def completed(sure: set[Link], more: Iterable[Link]) -> set[Link]:
    """Links, and of others those that begin or end at a word without any."""
    first, second = {i for i, _ in sure}, {j for _, j in sure}
    return sure | {(i, j) for i, j in more if i not in first or j not in second}


def read_numbered(path: Path) -> dict[int, list[Link]]:
    """Links by the number of their pair; a line without its end is left out."""
    found: dict[int, list[Link]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                number, *links = line.split()
                found[int(number)] = [(int(a), int(b)) for a, b in (link.split("-") for link in links)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    parser.add_argument("--model", default="offline:e5-small")
    parser.add_argument("--layer", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--pairs", type=int, default=0, help="stop behind so many; 0: all")
    args = parser.parse_args()
    from align_eval import SentencePair, load_model
    from align_eval.aligners import AlignerSettings, make_aligner

    torch.set_num_threads(args.threads)
    pairs = []
    for number, line in enumerate((args.data / "train.tok").read_text(encoding="utf-8").splitlines()):
        source, target = (tuple(side.split()) for side in line.split(" ||| "))
        pairs.append(SentencePair(str(number), source, target))
    path = args.data / "encoder.links"
    done = read_numbered(path)
    if path.exists():
        whole = "".join(x for x in path.read_text(encoding="utf-8").splitlines(keepends=True) if x.endswith("\n"))
        path.write_text(whole, encoding="utf-8")
    order = sorted(range(len(pairs)), key=lambda k: (-len(pairs[k].source) - len(pairs[k].target), k))
    left = [k for k in order[: args.pairs or None] if k not in done]
    aligner = make_aligner(AlignerSettings(load_model(args.model), ("argmax", "itermax"), (args.layer,)))
    argmax, itermax = aligner.systems
    begun = time.time()
    with path.open("a", encoding="utf-8") as stream:
        for start in range(0, len(left), CHUNK):
            here = left[start : start + CHUNK]
            found = aligner.align_all([pairs[k] for k in here])
            for k, sure, more in zip(here, found[argmax], found[itermax], strict=True):
                links = completed({(i, j) for i, j in sure}, [(i, j) for i, j in more])
                stream.write(" ".join([str(k), *(f"{i}-{j}" for i, j in sorted(links))]) + "\n")
            stream.flush()
            rate = (start + len(here)) / (time.time() - begun)
            sys.stderr.write(f"\r{start + len(here)} of {len(left)} pairs, {rate:.0f} pairs/s ")
            sys.stderr.flush()
    sys.stderr.write("\n")


if __name__ == "__main__":
    main()
