"""``make test-native``: the compiled functions under AddressSanitizer and UndefinedBehaviorSanitizer.

As a program it compiles them with both, and runs in processes of their own the tests that call them and mutated link
files (``--seconds``). As a plugin of pytest (``-p tests.native.sanitized``) it makes the package load that library.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build" / "sanitized" / "compiled.so"
FLAGS = ("-O1", "-g", "-std=c99", "-shared", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TESTS = ("tests/native", "tests/models/test_compiled_blocks.py", "tests/models/test_fused.py")
SEEDS = (
    "0-0 1-1\n", "1-2 34p5 678-901 23?456\n", "0-0S 1-1P 2-2-S 3-3-P\n", "\n\n", "000000001-2 0000000001-2\r\n",
)  # fmt: skip


def load() -> None:
    """Make :func:`align_eval.native.library` load the sanitized library."""
    from align_eval import native

    native.library_path = lambda: LIBRARY  # type: ignore[attr-defined]
    native.library.cache_clear()
    assert native.library() is not None, "the sanitized library does not load"


def mutate(seconds: float) -> int:
    """Parse mutated link files, compiled and with numpy, and count what was read; gives how many."""
    from align_eval import native
    from align_eval.corpora.link_formats._vector import _parse
    from align_eval.corpora.raw_links import RawLinks
    from tests.native.test_links import _same

    load()
    compiled, draw, end, done = native.library(), random.Random(1), time.monotonic() + seconds, 0
    assert compiled is not None
    pool = [seed.encode() * times for seed in SEEDS for times in (1, 3, 40)]
    while time.monotonic() < end:
        text = bytearray(draw.choice(pool) + draw.choice(pool))
        for _ in range(draw.randint(0, 6)):
            at = draw.randrange(len(text) + 1)
            act = draw.randrange(3)
            if act == 0:
                text[at:at] = draw.choice((b"-", b" ", b"\n", b"\r", b"9" * draw.randint(1, 12), draw.randbytes(1)))
            elif act == 1:
                del text[at : at + draw.randint(1, 9)]
            elif at < len(text):
                text[at] = draw.randrange(256)
        whole = bytes(text) + b"\n"
        found = native.parse(compiled, whole)
        expected: RawLinks | None = _parse(whole, 1)
        _same(found, expected)
        done += 1
    return done


def main() -> int:
    """Compile, test, mutate; the exit status of the first of them that fails."""
    from align_eval.native.compiling import SOURCES, compiler

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60, help="Time for mutated files.")
    options.add_argument("--mutate", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.mutate:
        sys.stdout.write(f"{mutate(asked.seconds):,} mutated files\n")
        return 0
    command = compiler()
    if command is None:
        sys.stderr.write("no C compiler is found\n")
        return 1
    LIBRARY.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, *FLAGS, "-o", str(LIBRARY), *map(str, SOURCES), "-lm"], check=True)
    found = [
        subprocess.run([*command, f"-print-file-name=lib{name}.so"], check=True, capture_output=True, text=True)
        for name in ("asan", "ubsan")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(done.stdout.strip() for done in found),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",  # each object has red zones around it
        "PYTHONPATH": str(ROOT),
        "ALIGN_EVAL_PRODUCTS": "compiled",
        "OMP_NUM_THREADS": "1",
    }
    test = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.native.sanitized",
        "--capture=sys",
        "-p",
        "no:cacheprovider",
        "-k",
        "not TestCompiling",
    ]
    for run in ([*test, *TESTS], [__file__, "--mutate", "--seconds", str(asked.seconds)]):
        status = subprocess.run([sys.executable, *run], cwd=ROOT, env=environment).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
elif os.environ.get("LD_PRELOAD", "").find("libasan") >= 0:
    load()
