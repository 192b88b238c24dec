"""Write the checksums and counts of the project's own test sets into the registry.

Run it after a change of ``data/mini`` or ``data/mini-train``::

    python experiments/update_testset_registry.py            # rewrites align_eval/corpora/testsets.toml
    python experiments/update_testset_registry.py --check    # changes nothing; exit code 1 if it is out of date

Sentences and links are read and every link's range is checked first. Of an entry with ``origin = "packaged"`` only the
values of ``sentences``, ``sure``, ``possible`` and the ``sha256`` of its files are changed; all else stays as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from align_eval import read_bitext, read_links
from align_eval.corpora.testset_entries import REGISTRY_FILE, TestSetEntry, read_registry
from align_eval.files import data_folder, sha256_of


def facts(entry: TestSetEntry, data: Path) -> dict[str, str]:
    """The lines that the registry must have for ``entry``: ``"[table] key"`` to value, files numbered from 0."""
    sentences, gold = entry.file("sentences"), entry.file("gold")
    if sentences is None or gold is None:
        sys.exit(f"{entry.name}: a packaged set has one file of sentences and one of gold links")
    bitext = read_bitext(data / sentences.path, format=sentences.format)
    table = read_links(data / gold.path, format=gold.format, base=entry.base, bitext=bitext, nulls="raise")
    values = {
        f"[testset.{entry.name}] sentences": str(table.sentences),
        f"[testset.{entry.name}] sure": str(table.sure_links),
        f"[testset.{entry.name}] possible": str(table.links),
    }
    for k, file in enumerate(entry.files):
        values[f"[testset.{entry.name}.files.{k}] sha256"] = f'"{sha256_of(data / file.path)}"'
    return values


def rewrite(text: str, values: dict[str, str]) -> str:
    """``text`` of a registry file with ``values`` put in place of what stands there."""
    table, files = "", dict[str, int]()
    lines = text.split("\n")
    for k, line in enumerate(lines):
        if header := re.fullmatch(r"\[(\[?)([^\[\]]+)\]?\]", line):
            table = header[2]
            if header[1]:
                files[table] = files.get(table, -1) + 1
                table = f"{table}.{files[table]}"
        elif (key := line.split(" = ")[0]) and (value := values.pop(f"[{table}] {key}", None)) is not None:
            lines[k] = f"{key} = {value}"
    if values:
        sys.exit(f"the registry has no line for {', '.join(values)}")
    return "\n".join(lines)


def main() -> None:
    """Rewrite or check the registry."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a value is out of date")
    parser.add_argument("--data", type=Path, default=data_folder(), help="the folder of the project's data")
    parser.add_argument("--registry", type=Path, default=REGISTRY_FILE, help="the registry file")
    arguments = parser.parse_args()
    values: dict[str, str] = {}
    for entry in read_registry(arguments.registry).values():
        if entry.packaged:
            values |= facts(entry, arguments.data)
    old = arguments.registry.read_text(encoding="utf-8")
    new = rewrite(old, dict(values))
    changed = [b for a, b in zip(old.split("\n"), new.split("\n"), strict=True) if a != b]
    print(f"{len(values)} values, {len(changed)} changed")
    if changed and arguments.check:
        sys.exit(f"{arguments.registry} is out of date: run experiments/update_testset_registry.py")
    if changed:
        arguments.registry.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
