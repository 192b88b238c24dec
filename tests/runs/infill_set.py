"""A small test set of short pairs with gold links, registered by a file, for runs with tiny models."""

from __future__ import annotations

import hashlib
from pathlib import Path

PAIRS = [
    ("das kleine Haus .", "the small house .", "0-0 1-1 2-2 3-3"),
    ("das Haus steht", "the house stands", "0-0 1-1 2-2"),
    ("ein alter Fluss .", "an old river .", "0-0 1-1 2-2 3-3"),
    ("der Garten blüht im Sommer", "the garden blooms in summer", "0-0 1-1 2-2 3p3 4-4"),
    ("und das Haus !", "and a house !", "0-0 2-2 3-3"),
    ("die Stadt ist alt .", "the town is old .", "0-0 1-1 2-2 3-3 4-4"),
]
REGISTRY = """\
[source.small]
citation = ["none"]
licence = "CC0"

[testset.small-deen]
source = "small"
title = "A few pairs"
source_language = "de"
target_language = "en"
version = "1"
base = 0
sentences = {sentences}
sure = {sure}
possible = {possible}

[[testset.small-deen.files]]
role = "sentences"
path = "small.txt"
format = "pipes"
sha256 = "{text}"

[[testset.small-deen.files]]
role = "gold"
path = "small.talp"
format = "talp"
sha256 = "{gold}"
"""


def register(folder: Path) -> Path:
    """Write text, links and registry; returns the registry file, for ``ALIGN_EVAL_TESTSETS``."""
    text, gold = folder / "small.txt", folder / "small.talp"
    text.write_text("".join(f"{s} ||| {t}\n" for s, t, _ in PAIRS), "utf-8")
    gold.write_text("".join(f"{links}\n" for *_, links in PAIRS), "utf-8")
    links = " ".join(links for *_, links in PAIRS).split()
    registry = folder / "testsets.toml"
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in (("text", text), ("gold", gold))}
    sure = sum("-" in link for link in links)
    registry.write_text(REGISTRY.format(sentences=len(PAIRS), sure=sure, possible=len(links), **sums), "utf-8")
    return registry
