"""``make test-reliability``: mutated input for every reader, and kills of commands at random moments.

Bounded by time; prints what was tried and every failure, and writes the figures to ``results/reliability/figures.md``
(``--out``). A reader may read what it gets or raise an ``AlignEvalError``. A command that is killed and run again gives
the bytes of a run that was not, and leaves no other file.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAIN = "from align_eval.cli import main; main()"
LINKS = "0-0 1-1 2p2\n1-0\n\n0-0 1-2 2-1S 3-3P\n"
TALP = "1-1 2-2 3P4\n2-1\n\n1-1\n"
SEEDS: dict[str, list[bytes]] = {
    "links": [
        LINKS.encode(), TALP.encode(), b"1 1 1 S\n1 2 2 P\n2 1 1 S\n", b"1\t0-0 1-1\n2\t\n",
        b'{"id": "1", "links": [[0, 0], [1, 1, 0.5]], "possible": [[2, 2]]}\n', b"[(0, 0), (1, 2)]\n[]\n",
        b"# Sentence pair (1) source length 2 target length 2 alignment score : 0.1\n"
        b"a b\nNULL ({ }) c ({ 1 }) d ({ 2 })\n",
        b"das haus\tthe house\t0-0 1-1\n", b"das haus ||| the house ||| 0-0 1-1\n", b"0-0-0.98 1-1-0.5\n",
    ],
    "bitext": [
        b"das haus ||| the house\nja ||| yes\n", b"das haus\tthe house\nja\tyes\n", "größe\tsize\n".encode("utf-16"),
        b'{"source": "das haus", "target": "the house"}\n{"source": ["ja"], "target": ["yes"], "links": [[0, 0]]}\n',
        b'"das; haus";the house\r\nja;yes\r\n', b'<?xml version="1.0"?><tmx version="1.4"><header srclang="de"/><body>'
        b'<tu><tuv xml:lang="de"><seg>ja <bpt i="1">x</bpt></seg></tuv>'
        b'<tuv xml:lang="en"><seg>yes</seg></tuv></tu></body></tmx>',
    ],
    "registry": [b'[source.a]\ncitation = ["x"]\nlicence = "l"\n[testset.x]\nsource = "a"\ntitle = "t"\n'],
    "experiment": [b'name = "x"\nkind = "evaluate"\ntestsets = ["mini-ende"]\nmethods = ["argmax"]\nlayers = "1-3"\n'],
}  # fmt: skip
PIECES = (
    b"\t", b"\n", b"\r\n", b" ", b"|||", b"-", b"0", b"9" * 12, b"{", b"}", b"[" * 40, b'"', b"\\", b"\xff",
    b"\xfe\xff", b"\0", b"<seg>", b"</tu>", b"&amp;", b"NULL", "é".encode(), b"\x1f\x8b", b"PAR1", b"nan", b"-1",
    b"S", b"P",
)  # fmt: skip


def mutated(draw: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with a few bytes put in, taken out, doubled or changed."""
    text = bytearray(draw.choice(seeds) * draw.choice((1, 1, 3)))
    for _ in range(draw.randint(0, 5)):
        at = draw.randrange(len(text) + 1)
        act = draw.randrange(4)
        if act == 0:
            text[at:at] = draw.choice(PIECES)
        elif act == 1:
            del text[at : at + draw.randint(1, 8)]
        elif act == 2:
            text[at:at] = text[at : at + 20]
        elif at < len(text):
            text[at] = draw.randrange(256)
    return bytes(text)


def readers() -> dict[str, list[Callable[[Path], object]]]:
    """The readers by kind of seed: each is given a file."""
    import align_eval as ae
    from align_eval.corpora.formats import FORMATS
    from align_eval.corpora.link_formats import LINK_FORMATS
    from align_eval.corpora.testset_entries import read_registry
    from align_eval.runs.experiments.base import read_experiment

    def links(form: str) -> Callable[[Path], object]:
        return lambda path: ae.read_links(path, format=form, base=0)

    def bitext(form: str) -> Callable[[Path], object]:
        return lambda path: list(ae.read_bitext(path, format=form))

    forms = [name for name in FORMATS.names() if name not in ("datasets", "parallel")]
    return {
        "links": [links(name) for name in ("auto", *LINK_FORMATS.names())],
        "bitext": [bitext(name) for name in ("auto", *forms)],
        "registry": [read_registry],
        "experiment": [read_experiment],
    }


def read_mutated(seconds: float, seed: int) -> tuple[dict[str, collections.Counter[str]], list[str]]:
    """What became of mutated input, by kind, and the untyped errors."""
    from align_eval.errors import AlignEvalError

    warnings.simplefilter("ignore")
    draw, end = random.Random(seed), time.monotonic() + seconds
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    failures: list[str] = []
    made = readers()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        while time.monotonic() < end:
            kind = draw.choice(("links", "bitext", "links", "bitext", "registry", "experiment"))
            content = mutated(draw, SEEDS[kind])
            path.write_bytes(content)
            try:
                draw.choice(made[kind])(path)
                counts[kind]["read"] += 1
            except AlignEvalError:
                counts[kind]["typed error"] += 1
            except Exception as error:
                counts[kind]["untyped"] += 1
                failures.append(f"{kind}: {type(error).__name__}: {error}: {content[:200]!r}")
    return counts, failures


def _run(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


COMMANDS = {
    "convert": ["convert", "big.talp", "out.jsonl", "--base-in", "0"],
    "convert to gz": ["convert", "big.talp", "out.talp.gz", "--base-in", "0"],
    "score": ["score", "big.talp", "big.talp", "--gold-base", "0", "--hyp-base", "0", "--per-sentence", "out.tsv"],
    "symmetrize": ["symmetrize", "big.talp", "big.talp", "-o", "out.talp", "--base", "0", "--reverse-order", "st"],
    "align": ["align", "--bitext", "text.pipes", "--model", "offline:e5-small", "-o", "out.talp"],
}


def kill(seconds: float, seed: int) -> tuple[collections.Counter[str], list[str]]:
    """Kill commands at random moments and run them again: how many kills, and what was wrong."""
    draw = random.Random(seed)
    counts: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as top:
        source = Path(top) / "source"
        source.mkdir()
        (source / "big.talp").write_text("0-0 1-1 2-2 3-3\n" * 30_000, encoding="utf-8")
        (source / "text.pipes").write_text(
            "".join(f"das ist haus nummer {k} ||| this is house number {k}\n" for k in range(600)), encoding="utf-8"
        )
        whole: dict[str, tuple[dict[str, bytes], float]] = {}
        for name, command in COMMANDS.items():
            folder = Path(top) / "whole"
            shutil.copytree(source, folder)
            began = time.monotonic()
            _, said = _run(command, folder).communicate()
            files = _files(folder, source)
            if not files:
                failures.append(f"{name}: writes nothing: {said.decode()[-300:]}")
            whole[name] = files, time.monotonic() - began
            shutil.rmtree(folder)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = draw.choice([name for name in COMMANDS for _ in range(1 if name == "align" else 3)])
            if not whole[name][0]:
                continue
            folder = Path(top) / "killed"
            shutil.copytree(source, folder)
            process = _run(COMMANDS[name], folder)
            number = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP))
            time.sleep(draw.uniform(0.2, 1.0) * whole[name][1])
            process.send_signal(number)
            process.communicate()
            _, said = _run(COMMANDS[name], folder).communicate()
            found = _files(folder, source)
            counts[name] += 1
            if found != whole[name][0]:
                differing = sorted(k for k in {*found, *whole[name][0]} if found.get(k) != whole[name][0].get(k))
                failures.append(f"{name}, {number.name}: {differing}: {said.decode()[-300:]}")
            shutil.rmtree(folder)
    return counts, failures


def _files(folder: Path, source: Path) -> dict[str, bytes]:
    known = {path.name for path in source.iterdir()}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in known}


def main() -> int:
    """Try, print, write the figures; 1 if anything failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=540, help="Time in all.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=ROOT / "results" / "reliability")
    asked = options.parse_args()
    inputs, wrong = read_mutated(asked.seconds / 3, asked.seed)
    kills, also = kill(asked.seconds * 2 / 3, asked.seed)
    lines = [
        "# What was tried", "",
        f"Made by `python tests/reliability.py --seconds {asked.seconds:g} --seed {asked.seed}`.", "",
        "| reader | inputs | read | typed error | untyped error |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for kind, counts in sorted(inputs.items()):
        cells = [counts["read"], counts["typed error"], counts["untyped"]]
        lines.append(f"| {kind} | {sum(cells):,} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    lines += ["", "| command | kills (SIGKILL, SIGTERM, SIGHUP) |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(kills.items())]
    lines += [
        "",
        f"Other bytes than those of a whole run, or files left: {len(also)}. Untyped errors: {len(wrong)}.",
        "",
    ]
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "figures.md").write_text("\n".join(lines), encoding="utf-8")
    sys.stdout.write("\n".join([*lines, *wrong[:40], *also[:40], ""]))
    return 1 if wrong or also else 0


if __name__ == "__main__":
    sys.exit(main())
