"""The encoder on a GPU: pairs a second, efficiency, and how near the links are to those of float32 on the CPU.

    python experiments/bench/gpu.py --out results/bench                          # the first GPU, all three number types
    python experiments/bench/gpu.py --device cpu --dtypes float32 --quick        # only to see that it works

Each number type is loaded on the device, takes turns with the others on ``enfr-wpt`` and ``zhen-tsinghua`` (words in, a
file of links out, layer 7, argmax) and is compared with float32 on the CPU: AER, links that both have, and the greatest
difference of a vector. Efficiency is the work that the sub-words need (``efficiency.py``), divided by the time of the
encoder alone, as a share of the device's best matrix product in the same number type in the same run.
"""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import systems
from common import Bar, Table, alternate, say
from systems import LAYER, MODEL, SETS, Ours
from work import tokenized, work

DTYPES = ("float32", "bfloat16", "float16")
SPEED = {
    "set": "set", "dtype": "number type", "pairs": "pairs", "pairs_s": "pairs/s", "subwords_s": "sub-words/s",
    "encoder_s": "encoder alone, s", "gflops": "GFLOP/s", "efficiency": "efficiency %", "seconds": "median, s",
    "spread": "spread %",
}  # fmt: skip
PARITY = {
    "set": "set", "dtype": "number type", "cpu": "AER % float32 on the CPU", "aer": "AER %", "change": "change",
    "links": "links that stay, %", "vectors": "greatest relative error of a vector",
}  # fmt: skip
RATES = {"dtype": "number type", "best": "best matrix product, GFLOP/s", "size": "of size"}
SIZES, RUNS = (1024, 2048, 4096, 8192), 8
AER_CHANGE = 0.2


def main() -> None:
    """Measure and write."""
    made = common.parser(__doc__)
    made.add_argument("--device", default="cuda", help="of torch: cuda, cuda:1, mps; default: cuda")
    made.add_argument("--dtypes", default=",".join(DTYPES), help="number types, with commas")
    systems.add_pairs(made)
    options = common.parse(made)
    import torch

    from align_eval import AlignEvalError, load_model

    torch.set_num_threads(options.threads)
    dtypes = [name for name in options.dtypes.split(",") if name]
    try:
        encoders = {dtype: load_model(MODEL, device=options.device, dtype=dtype) for dtype in dtypes}
    except AlignEvalError as error:
        raise SystemExit(f"{error}") from error
    reference = systems.load_encoder()
    sizes = SIZES[:1] if options.quick else SIZES
    rates = [best_product(encoder.device, dtype, sizes) for dtype, encoder in encoders.items()]
    rows, parity = measure(encoders, reference, {row["dtype"]: row["best"] for row in rates}, options)
    name = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else options.device
    bars = [
        Bar(
            f"{name}, {dtype}: greatest change of AER", max(abs(r["change"]) for r in parity if r["dtype"] == dtype),
            AER_CHANGE, least=False, unit=" points",
        )
        for dtype in dtypes
    ]  # fmt: skip
    tables = [
        Table(SPEED, rows, "Speed"), Table(PARITY, parity, "Parity"), Table(RATES, rates, "Best matrix products"),
    ]  # fmt: skip
    common.write_part(
        options.out, "gpu", "The encoder on a GPU", tables, bars, quick=options.quick,
        settings={"model": MODEL, "layer": LAYER, "method": "argmax", "device": name, "repeats": options.repeats},
        notes=[
            f"Device: {name}. Links that stay: twice the links that both have, divided by the links of either. The "
            "error of a vector: the norm of its difference from float32 on the CPU, divided by the latter's norm.",
        ],
    )  # fmt: skip


def best_product(device: Any, dtype: str, sizes: Sequence[int]) -> dict[str, Any]:
    """The best rate of a product of two square matrices on the device."""
    import torch

    best, size = 0.0, 0
    for n in sizes:
        left, right = torch.randn(2, n, n, device=device, dtype=getattr(torch, dtype))
        for _ in range(RUNS):
            wait(device)
            start = time.perf_counter()
            torch.mm(left, right)
            wait(device)
            rate = 2e-9 * n**3 / (time.perf_counter() - start)
            best, size = max((best, size), (rate, n))
    return {"dtype": dtype, "best": best, "size": f"{size:,} x {size:,}"}


def measure(
    encoders: dict[str, Any], reference: Any, best: dict[str, float], options: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of speed and of parity of each number type on each set."""
    rows, parity = [], []
    folder = Path(tempfile.mkdtemp(prefix="align-eval-bench-"))
    try:
        for name in SETS:
            text = systems.load_set(name, systems.limit(options))
            ids = tokenized(reference, text.pairs)
            needed, subwords = work(reference, ids), sum(map(len, ids))
            outputs = {dtype: folder / f"{name}.{dtype}.talp" for dtype in encoders}
            say(f"{name}: {len(text.pairs)} pairs")
            whole = {d: functools.partial(Ours("argmax", e), text, outputs[d]) for d, e in encoders.items()}
            alone = {f"{d}, encoder alone": functools.partial(encode, e, ids) for d, e in encoders.items()}
            times = alternate({**whole, **alone}, options.repeats)
            own = folder / f"{name}.cpu.talp"
            Ours("argmax", reference)(text, own)
            vectors, full, aer = reference.encode(ids, [LAYER]), systems.read_links(own), text.aer(own)
            for dtype, encoder in encoders.items():
                seconds, encoding = times[dtype].median, times[f"{dtype}, encoder alone"].median
                rows.append(
                    {
                        "set": name, "dtype": dtype, "pairs": len(text.pairs), "pairs_s": len(text.pairs) / seconds,
                        "subwords_s": subwords / seconds, "encoder_s": encoding, "gflops": needed / encoding,
                        "efficiency": 100 * needed / encoding / best[dtype], "seconds": seconds,
                        "spread": 100 * times[dtype].spread,
                    }
                )  # fmt: skip
                pairs = [(set(a), set(b)) for a, b in zip(full, systems.read_links(outputs[dtype]), strict=True)]
                found = text.aer(outputs[dtype])
                apart = [
                    float(((b.float().cpu() - a).norm(dim=-1) / a.norm(dim=-1)).max())
                    for a, b in zip(vectors, encoder.encode(ids, [LAYER]), strict=True)
                ]
                parity.append(
                    {
                        "set": name, "dtype": dtype, "cpu": aer, "aer": found, "change": round(found - aer, 3),
                        "links": 100 * sum(2 * len(a & b) for a, b in pairs) / sum(len(a) + len(b) for a, b in pairs),
                        "vectors": max(apart),
                    }
                )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows, parity


def encode(encoder: Any, ids: Sequence[Any]) -> None:
    """Encode all sentences, and wait for the device."""
    encoder.encode(ids, [LAYER])
    wait(encoder.device)


def wait(device: Any) -> None:
    """Until the device has computed what it was given."""
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.synchronize(device)
    elif str(device).startswith("mps"):
        torch.mps.synchronize()


if __name__ == "__main__":
    sys.exit(main())
