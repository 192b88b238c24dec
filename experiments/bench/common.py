"""What all parts of the benchmark share: the machine, timing in turns, peak memory, and the form of the results.

A part is a script of this folder, run as ``python experiments/bench/PART.py --out results/bench [--quick]``. It writes
``PART.json`` and ``PART.md``; ``report.py`` joins all parts that are there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from align_eval import __version__

PACKAGES = (
    "torch", "transformers", "tokenizers", "numpy", "scipy", "simalign", "awesome-align", "sil-thot",
    "nltk", "onnxruntime", "ray", "pyarrow",
)  # fmt: skip


def say(text: str) -> None:
    """One line of progress on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def parser(description: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    """The options that every part has: ``--out``, ``--quick``, ``--repeats``, ``--threads``."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=Path("results/bench"), help="folder of the results")
    made.add_argument("--quick", action="store_true", help="few sentences, one repeat: to see that it works")
    made.add_argument("--repeats", type=int, default=repeats, help=f"timed runs of each system (default {repeats})")
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of torch and BLAS")
    return made


def parse(made: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse, set ``repeats`` to 1 in the quick form, and make the output folder."""
    options = made.parse_args(arguments)
    if options.quick:
        options.repeats = 1
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def hardware(threads: int | None = None) -> dict[str, Any]:
    """The machine and the software; ``load`` is the load average over one minute when it was asked for."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "align-eval": __version__,
        "packages": versions,
        "threads": threads if threads is not None else int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def _cpu() -> str:
    """The name of the processor with the number types that it multiplies fast."""
    name, known = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
                wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
                known = " ".join(flag for flag in wanted if flag in flags)
                break
    except OSError:
        pass
    return f"{name} ({known})" if known else name


@dataclass
class Timing:
    """Times of one system in seconds, in the order in which they were taken."""

    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def best(self) -> float:
        return min(self.times)

    @property
    def spread(self) -> float:
        """(greatest - least) / median."""
        return (max(self.times) - min(self.times)) / self.median


def alternate(
    callables: Mapping[str, Callable[[], Any]], repeats: int, warm: int = 1, tell: Callable[[str], None] | None = say
) -> dict[str, Timing]:
    """Time functions in turns: each ``warm`` times without a clock, then ``repeats`` rounds, the order reversed in
    every second round, so that nothing that changes slowly favours one of them.

    Returns:
        for each name its :class:`Timing`. The functions' own results are dropped.
    """
    out = {name: Timing() for name in callables}
    for name, function in callables.items():
        for _ in range(warm):
            start = time.perf_counter()
            function()
            if tell:
                tell(f"  warm  {name}: {time.perf_counter() - start:.3f} s")
    for number in range(repeats):
        names = list(callables) if number % 2 == 0 else list(callables)[::-1]
        for name in names:
            start = time.perf_counter()
            callables[name]()
            out[name].times.append(time.perf_counter() - start)
            if tell:
                tell(f"  round {number + 1} {name}: {out[name].times[-1]:.3f} s")
    return out


def peak_memory_mb() -> float:
    """The greatest resident memory of this process so far, in MB (2**20 bytes).

    Read from ``VmHWM``, which begins anew with the program: ``ru_maxrss`` would count the parent's memory at the fork.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


@dataclass(frozen=True)
class Child:
    """A finished child process: seconds, peak memory in MB, exit code and what it wrote."""

    seconds: float
    peak_mb: float
    code: int
    stdout: str
    stderr: str


# A small process between this one and the measured one: a child begins with the peak memory of the one that starts it.
_LAUNCHER = """
import os, sys, time
start = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - start
with open(sys.argv[1], "w") as stream:
    stream.write(f"{seconds} {usage.ru_maxrss} {os.waitstatus_to_exitcode(status)}")
"""


def child(
    command: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None, cwd: Path | None = None,
    check: bool = True,
) -> Child:  # fmt: skip
    """Run a command to its end: how long it took from its start, and the greatest resident memory it had.

    Args:
        command: program and arguments.
        env: variables to set besides those of this process.
        cwd: folder to run in.
        check: stop the benchmark, with what the command wrote, if it fails.
    """
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "usage"
        words = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(told), *map(os.fspath, command)]
        done = subprocess.run(words, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True)
        if not told.exists():
            raise SystemExit(f"{command[0]} could not be started:\n{done.stderr}")
        seconds, peak, code = told.read_text(encoding="ascii").split()
    out = Child(float(seconds), int(peak) / 1024, int(code), done.stdout, done.stderr)
    if check and out.code:
        raise SystemExit(f"{' '.join(map(os.fspath, command))} ended with {out.code}:\n{out.stderr[-4000:]}")
    return out


def child_json(script: str | os.PathLike[str], *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run ``script`` of this folder in a process of its own; its last line of standard output is a JSON object.

    ``peak_mb`` and ``seconds`` of the whole process are added to it.
    """
    done = child([sys.executable, script, *arguments], env=env)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "peak_mb": found.get("peak_mb", done.peak_mb), "process_seconds": done.seconds}


@dataclass(frozen=True)
class Bar:
    """Something that must be reached: ``value >= bar``, or ``value <= bar`` with ``least=False``."""

    name: str
    value: float
    bar: float
    least: bool = True
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bar if self.least else self.value <= self.bar

    def __str__(self) -> str:
        sign = ">=" if self.least else "<="
        verdict = "met" if self.met else "not met"
        return f"- {self.name}: {number(self.value)}{self.unit}, asked {sign} {self.bar:g}{self.unit}: **{verdict}**"


@dataclass(frozen=True)
class Table:
    """Rows with the headings of their columns, in order; values a row lacks are left empty."""

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""

    def __str__(self) -> str:
        lines = ["| " + " | ".join(self.columns.values()) + " |"]
        numeric = [all(isinstance(r.get(k), int | float | None) for r in self.rows) for k in self.columns]
        lines.append("|" + "|".join("---:" if right else "---" for right in numeric) + "|")
        for row in self.rows:
            lines.append("| " + " | ".join(number(row.get(key)) for key in self.columns) + " |")
        return (f"### {self.title}\n\n" if self.title else "") + "\n".join(lines) + "\n"


def number(value: Any) -> str:
    """A value as a table shows it: three digits at least, no more than a measurement has."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        size = abs(value)
        digits = 0 if size >= 100 or not size else 1 if size >= 10 else 2 if size >= 1 else 3
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_part(
    out: Path, part: str, title: str, tables: Sequence[Table], bars: Sequence[Bar] = (), *,
    settings: Mapping[str, Any] | None = None, notes: Sequence[str] = (), machine: Mapping[str, Any] | None = None,
    quick: bool = False,
) -> None:  # fmt: skip
    """Write ``<out>/<part>.json`` and ``<out>/<part>.md``, and say the outcome on standard error.

    Args:
        out: the folder.
        part: name of the script without its ending.
        title: heading of the section.
        tables: what was measured.
        bars: what was asked for.
        settings: what the numbers depend on (sentences, repeats, ...).
        notes: paragraphs under the tables.
        machine: :func:`hardware`, taken before the measurements; default: now.
        quick: the short form was run; the section says so.
    """
    several = len(tables) > 1
    rows = [{**({"table": t.title} if several else {}), **row} for t in tables for row in t.rows]
    script = f"experiments/bench/{Path(sys.argv[0]).name}"
    content = {
        "part": part,
        "title": title,
        "command": " ".join(["python", script, *sys.argv[1:]]),
        "quick": quick,
        "hardware": dict(machine or hardware()),
        "settings": dict(settings or {}),
        "rows": rows,
        "bars": [{**asdict(bar), "met": bar.met} for bar in bars],
    }
    text = [f"## {title}\n"]
    if quick:
        text.append("Short form (`--quick`): the numbers only show that it works.\n")
    text += [str(table) for table in tables]
    if bars:
        text.append("\n".join(map(str, bars)) + "\n")
    text += [note + "\n" for note in notes]
    (out / f"{part}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (out / f"{part}.md").write_text("\n".join(text), "utf-8")
    say(f"{part}: {out / part}.json, {out / part}.md")
    for bar in bars:
        say(str(bar))
