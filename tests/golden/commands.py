"""Commands whose output is frozen, and ``python -m tests.golden.commands`` that freezes it anew."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

FROZEN = Path(__file__).with_name("frozen.json")
ORACLES = Path(os.environ.get("ALIGN_EVAL_DATA") or ".").parent / "oracles"
DATA = Path(__file__).parents[2] / "data"

# Name: (needs published sets, arguments; {out} is a folder).
COMMANDS: dict[str, tuple[bool, str]] = {
    "score deen-rwth": (True, "score deen-rwth {oracles}/cross-align/deen.out --hyp-base 0 --breakdown --json"),
    "score roen-wpt": (
        True,
        "score roen-wpt {oracles}/lilt/giza/test.roen.talp {oracles}/lilt/giza/test.roen.union.talp --hyp-base 0"
        " --paired both --json",
    ),
    "align mini-ende": (False, "align --testset mini-ende -m offline:e5-small --layer 8 --device cpu -o {out}/a.talp"),
    "align mini-enzh itermax": (
        False,
        "align --testset mini-enzh -m offline:e5-small -x itermax --lone-marks keep --device cpu --format jsonl"
        " -o {out}/a.jsonl",
    ),
    "align by attention": (
        False,
        "align --testset mini-ende -m offline:tiny-deen --source-language en --target-language de"
        " --attention L2H1 --device cpu -o {out}/a.talp",
    ),
    "evaluate": (
        False,
        "evaluate mini-ende mini-enfr mini-enes mini-enzh -m offline:e5-small -x argmax -x softmax --layers 8"
        " --device cpu --json",
    ),
    "evaluate refined": (False, "evaluate mini-ende mini-enzh -m offline:e5-small --device cpu --json"),
    "evaluate deen-rwth": (True, "evaluate deen-rwth roen-wpt -m offline:e5-small -x argmax --device cpu --json"),
    "sweep": (False, "sweep mini-ende --reverse -m offline:tiny-deen --device cpu --json --links {out}/links.talp"),
    "sweep decoder": (
        False,
        "sweep mini-ende -m offline:smollm2-135m --layers 8-10 --device cpu --json --select best",
    ),
    "sweep norms": (False, "sweep mini-ende -m offline:e5-small --signal norms --layers 6-8 --device cpu --json"),
    "infill": (
        False,
        "infill mini-ende --reverse -m offline:tiny-deen-mask --strategy random:ratio=0.3 --device cpu --json",
    ),
    "infill pair": (
        False,
        "infill mini-ende --reverse --pair 3 --mask 2 -m offline:tiny-deen-mask --device cpu --json",
    ),
    "translate": (
        False,
        "translate mini-ende --reverse -m offline:tiny-deen --limit 12 --beam 2 --aligner-method argmax --device cpu"
        " --json -o {out}/translated",
    ),
}  # fmt: skip

LEFT_OUT = {"seconds", "wall", "date", "host", "version", "versions", "created", "command", "peak_memory"}


def processor() -> str:
    """The instructions that torch uses: others add in another order, and a tie may fall the other way."""
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value


def output(name: str, out: Path) -> dict[str, Any]:
    """What the command prints as JSON, and the digests of the files of links and text that it writes."""
    from align_eval.cli import main as align_eval

    arguments = COMMANDS[name][1].format(out=out, oracles=ORACLES).split()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            align_eval(arguments)
        except SystemExit as left:
            if left.code:
                raise RuntimeError(f"{name}: exit code {left.code}") from left
    made: dict[str, Any] = {}
    if "--json" in arguments:
        made["json"] = _plain(json.loads(printed.getvalue()))
    files = sorted(p for p in out.rglob("*") if p.suffix in (".talp", ".jsonl", ".txt") and p.is_file())
    made["files"] = {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return made


def main() -> None:
    import tempfile

    frozen: dict[str, Any] = {"processor": processor()}
    for name in COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            frozen[name] = output(name, Path(folder))
        sys.stderr.write(f"{name}\n")
    FROZEN.write_text(json.dumps(frozen, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
