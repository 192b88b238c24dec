"""Join the parts of the benchmark that are there into one page.

    python experiments/bench/report.py --out results/bench

Reads every ``PART.json`` and ``PART.md`` of the folder and writes ``README.md``: the machine once, what was asked for
and what came out in one table, then the parts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import common

# In this order; parts of other names follow.
ORDER = (
    "aligners",
    "equal",
    "efficiency",
    "launches",
    "int16",
    "scoring",
    "start",
    "streaming",
    "growth",
    "ray_engine",
    "gpu",
)
# What is the same for a run; load and threads may differ between its parts.
SAME = ("cpu", "cores", "memory_gb", "system", "python", "align-eval")
HEAD = """# Speed, memory and scale

Written by `make bench` (parts alone: `python experiments/bench/PART.py --out results/bench`, then
`python experiments/bench/report.py`). How to read it: systems of one table were timed in one run on one machine, warm,
by turns; times are medians of several runs, and *spread* is (slowest - fastest) / median. What is asked for is a ratio
or a limit where that can be, so that it can be checked on other machines.
"""


def read_parts(folder: Path) -> list[dict[str, Any]]:
    """The parts of a folder in order, each with its section as ``text``."""
    parts = []
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("part") == path.stem and path.with_suffix(".md").exists():
            parts.append({**content, "text": path.with_suffix(".md").read_text(encoding="utf-8")})
    return sorted(parts, key=lambda p: (ORDER.index(p["part"]) if p["part"] in ORDER else len(ORDER), p["part"]))


def machine(parts: list[dict[str, Any]]) -> str:
    """The hardware: once if all parts ran on the same, else by part."""
    lines = ["## Machine\n"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        groups.setdefault(json.dumps([part["hardware"].get(key) for key in SAME]), []).append(part)
    for members in groups.values():
        found = members[0]["hardware"]
        if len(groups) > 1:
            lines.append(f"**{', '.join(part['part'] for part in members)}**\n")
        lines.append(
            f"{found.get('cpu')}, {found.get('cores')} cores, {found.get('memory_gb')} GB, {found.get('system')}; "
            f"Python {found.get('python')}, align-eval {found.get('align-eval')}.\n"
        )
        packages: dict[str, str] = {}
        for part in members:
            packages.update(part["hardware"].get("packages", {}))
        lines.append(", ".join(f"{name} {version}" for name, version in sorted(packages.items())) + ".\n")
    return "\n".join(lines)


def asked(parts: list[dict[str, Any]]) -> str:
    """What was asked for, over all parts."""
    rows = [
        {
            "part": part["part"],
            "name": bar["name"],
            "value": f"{common.number(bar['value'])}{bar.get('unit', '')}",
            "bar": f"{'>=' if bar.get('least', True) else '<='} {bar['bar']:g}{bar.get('unit', '')}",
            "met": "met" if bar["met"] else "**not met**",
        }
        for part in parts
        for bar in part.get("bars", ())
    ]
    if not rows:
        return ""
    columns = {"part": "part", "name": "what", "value": "measured", "bar": "asked", "met": ""}
    return f"## Asked and measured\n\n{common.Table(columns, rows)}"


def runs(parts: list[dict[str, Any]]) -> str:
    """When and how each part was run."""
    rows = [
        {
            "part": part["part"],
            "command": f"`{part['command']}`",
            "date": part["hardware"].get("date", part.get("date", "")),
            "threads": part["hardware"].get("threads"),
            "load": part["hardware"].get("load"),
            "form": "quick" if part.get("quick") else "full",
        }
        for part in parts
    ]
    columns = {
        "part": "part", "command": "command", "date": "date", "threads": "threads", "load": "load at the start",
        "form": "form",
    }  # fmt: skip
    return f"## Runs\n\n{common.Table(columns, rows)}"


def main() -> None:
    """Write the page."""
    options = common.parse(common.parser(__doc__))
    parts = read_parts(options.out)
    if not parts:
        raise SystemExit(f"no part of the benchmark in {options.out}: run one, such as experiments/bench/aligners.py")
    sections = [HEAD, machine(parts), asked(parts), *(part["text"] for part in parts), runs(parts)]
    text = "\n".join(section.strip("\n") + "\n" for section in sections if section)
    (options.out / "README.md").write_text(text, "utf-8")
    common.say(f"report: {options.out / 'README.md'} from {', '.join(part['part'] for part in parts)}")


if __name__ == "__main__":
    sys.exit(main())
