"""AER and time of the statistical aligners on deen-rwth, alone and with more training text.

    python experiments/bench/statistical.py [METHOD ...] [--train FILE ...]

One line a method: AER after grow-diag and grow-diag-final-and, seconds of processor and of clock, megabytes at most.
Files hold German, a tab and English, untokenised. Each method runs in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

METHODS = ("eflomal", "fast_align", "ibm1", "ibm2", "hmm", "ibm3", "ibm4")


def measure(method: str, train: list[str]) -> None:
    import resource

    from align_eval import load_testset, score
    from align_eval.aligners import AlignerSettings, make_aligner

    texts = [f"train={name}" for name in train] + (["train_tokenize=13a"] if train else [])
    ways = [f"{method}:{','.join([*texts, f'sym={sym}'])}" for sym in ("grow-diag", "grow-diag-final-and")]
    testset = load_testset("deen-rwth")
    start = time.perf_counter()
    found = make_aligner(AlignerSettings(None, tuple(ways))).align_all(testset.pairs)
    clock = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    aer = [f"{score(testset, links, resamples=0).aer:.1f}" for links in found.values()]
    print(
        f"| {method} | {' | '.join(aer)} | {used.ru_utime:.1f} | {clock:.1f} | {used.ru_maxrss // 1024} |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--train", action="append", default=[])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.methods[0], options.train)
        return
    print(
        "| method | grow-diag | grow-diag-final-and | processor, s | clock, s | MB |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for method in options.methods:
        more = [text for name in options.train for text in ("--train", name)]
        subprocess.run([sys.executable, __file__, "--child", method, *more], check=True)


if __name__ == "__main__":
    main()
