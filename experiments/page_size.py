"""Measure the page of ``align-eval explore``: size of the file, time to write, load and use it in headless Chromium.

    python experiments/page_size.py                 # 40, 200 and 2,000 pairs of 12 layers x 12 heads
    python experiments/page_size.py --pairs 200     # one size only

Maps are made up: as many sub-words as sentences of news have (mean 25 a side, 8 to 70), rows that sum to 1, a third of
the heads near the diagonal, a third with most weight on the last column, a third diffuse. Real heads compress better or
worse than that. Written are ``results/page-size/sizes.json`` and ``sizes.md``; times are medians of ``--repeats``.
Needs Chromium and the package playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from align_eval import __version__
from align_eval.report.page import Entry, Page, number_axis

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
COLUMNS = {
    "size_mb": "file, MB", "write_s": "write, s", "load_s": "load, s", "pair_ms": "open a pair, ms",
    "head_ms": "another head, ms", "corpus_head_ms": "another head of the list, ms", "sort_ms": "sort, ms",
}  # fmt: skip
# Does something in the page and waits until it is drawn; gives milliseconds.
TIMED = """async (act) => {
    const before = document.body.dataset.drawn, list = document.getElementById("rows");
    const first = list.firstElementChild, start = performance.now();
    if (act.hash) location.hash = act.hash; else document.querySelector(act.click).click();
    const done = () => act.sorts ? list.firstElementChild !== first : document.body.dataset.drawn !== before;
    while (!done()) await new Promise(next => setTimeout(next, 1));
    await new Promise(next => requestAnimationFrame(() => requestAnimationFrame(next)));
    return performance.now() - start;
}"""


def made_up(number: int, layers: int, heads: int, rng: np.random.Generator) -> Entry:
    """A pair of made-up words and maps with gold on the diagonal."""
    keys = int(np.clip(rng.normal(25, 10), 8, 70))
    queries = int(np.clip(keys + rng.normal(0, 3), 8, 70))
    logits = rng.normal(0, 1, size=(layers, heads, queries, keys)).astype(np.float32)
    kind = np.arange(layers * heads).reshape(layers, heads) % 3
    away = np.abs(np.arange(queries)[:, None] * (keys / queries) - np.arange(keys)).astype(np.float32)
    logits[kind == 0] = 2 * logits[kind == 0] - 1.2 * away
    logits[kind == 1] *= 1.5
    logits[kind == 1, :, -1] += 6
    values = np.exp(logits - logits.max(axis=-1, keepdims=True))
    values /= values.sum(axis=-1, keepdims=True)
    words = min(queries, keys) - 1
    source = tuple(f"word{k}" for k in rng.integers(0, 5000, size=keys - 1))
    target = tuple(f"Wort{k}" for k in rng.integers(0, 5000, size=queries - 1))
    links = np.zeros((layers, heads, queries - 1, keys - 1), dtype=bool)
    best = values[:, :, :-1, :-1].argmax(axis=-1)
    np.put_along_axis(links, best[..., None], True, axis=-1)
    right = links[:, :, range(words), range(words)].sum(axis=-1)
    counts = np.stack([links.sum(axis=(2, 3)), right, right], axis=-1)
    return Entry(
        str(number + 1), values, (*target, "</s>"), (*source, "</s>"), np.array([*range(queries - 1), -1]),
        np.array([*range(keys - 1), -1]), target, source, "target", gold=tuple((k, k, True) for k in range(words)),
        links=links, counts=counts,
    )  # fmt: skip


def write_page(pairs: int, layers: int, heads: int, path: Path) -> dict[str, Any]:
    """Write a page; its size, the time of packing and writing alone, and the error of its values."""
    rng = np.random.default_rng(12345)
    page = Page(
        f"{pairs} made-up pairs", "attention weight", number_axis("layer", range(1, layers + 1)),
        number_axis("head", range(1, heads + 1)), bits=8 if pairs > 50 else 16, method="reverse",
    )  # fmt: skip
    spent = 0.0
    cells = 0
    for number in range(pairs):
        entry = made_up(number, layers, heads, rng)
        cells += entry.values.size
        start = time.perf_counter()
        page.add(entry)
        spent += time.perf_counter() - start
    start = time.perf_counter()
    size = page.write(path)
    spent += time.perf_counter() - start
    about = {"pairs": pairs, "layers": layers, "heads": heads, "bits": page.bits, "cells": cells, "error": page.error}
    return {**about, "size_mb": size / 1e6, "write_s": spent, "bytes_a_cell": size / cells}


def use_page(path: Path, pairs: int, layers: int, heads: int, repeats: int) -> dict[str, float]:
    """Median times in a browser that is started anew for each repetition."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("ALIGN_EVAL_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("Chromium is not installed (Debian: apt-get install chromium)")
    times: dict[str, list[float]] = {name: [] for name in ("load_s", "pair_ms", "head_ms", "corpus_head_ms", "sort_ms")}
    with sync_playwright() as play:
        for turn in range(repeats):
            with tempfile.TemporaryDirectory() as profile:
                context = play.chromium.launch_persistent_context(
                    profile, executable_path=program, headless=True, args=list(FLAGS)
                )
                page = context.new_page()
                page.set_default_timeout(300_000)
                start = time.perf_counter()
                page.goto(path.as_uri())
                page.wait_for_selector("body[data-drawn]")
                times["load_s"].append(time.perf_counter() - start)
                row, column = layers // 2, heads // 2
                button = '#heads button[data-row="{}"][data-column="{}"]'
                acts = {
                    "corpus_head_ms": {"click": button.format(row, column)},
                    "sort_ms": {"click": "th[data-key=aer] button", "sorts": True},
                    "pair_ms": {"hash": f"#pair={1 + (7 + 13 * turn) % pairs}&layer=1&head=1"},
                    "head_ms": {"click": button.format(row, column)},
                }
                for name, act in acts.items():
                    times[name].append(page.evaluate(TIMED, act))
                context.close()
    return {name: statistics.median(values) for name, values in times.items()}


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements as a Markdown table."""
    lines = ["| pairs | layers x heads | cells | bits | " + " | ".join(COLUMNS.values()) + " |"]
    lines += ["|---:" * (4 + len(COLUMNS)) + "|"]
    for row in rows:
        facts = [f"{row['pairs']:,}", f"{row['layers']} x {row['heads']}", f"{row['cells']:,}", str(row["bits"])]
        lines.append("| " + " | ".join([*facts, *(f"{row[name]:,.3g}" for name in COLUMNS)]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure each size and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[40, 200, 2000])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/page-size"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for pairs in options.pairs:
            path = Path(folder) / f"{pairs}.html"
            row = write_page(pairs, options.layers, options.heads, path)
            row |= use_page(path, pairs, options.layers, options.heads, options.repeats)
            path.unlink()
            rows.append(row)
            print(table(rows[-1:]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    about = {"align-eval": __version__, "machine": platform.machine(), "processors": os.cpu_count(), "pages": rows}
    (options.output / "sizes.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    (options.output / "sizes.md").write_text(f"# Pages of `align-eval explore`\n\n{table(rows)}", "utf-8")


if __name__ == "__main__":
    main()
