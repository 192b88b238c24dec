"""Work for a GPU, counted without one: kernel launches a sentence pair, and how often the host waits for the device.

    python experiments/bench/launches.py --out results/bench [--quick]

``ae.align`` (e5-small, its default layer, argmax) runs on the device of ``tests/device.py``, which computes on the CPU
what a GPU would, with the budget of a GPU of 16 GiB. Each call of torch that computes or copies counts as one launch;
views, allocations and dropout that is switched off count as none. A fused kernel of a real GPU may count for several.
"""

from __future__ import annotations

import collections
import sys
from pathlib import Path
from typing import Any

import common
from common import Bar, Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
PAIRS, MEMORY = 4096, 16 * 2**30
FREE = {
    "view", "_unsafe_view", "transpose", "t", "permute", "expand", "unsqueeze", "squeeze", "slice", "select", "detach",
    "alias", "split", "split_with_sizes", "unbind", "as_strided", "_reshape_alias", "reshape", "narrow", "lift_fresh",
    "empty", "empty_like", "empty_strided", "new_empty", "dropout", "promote_types", "is_nonzero",
    "_local_scalar_dense",
}  # fmt: skip


def main() -> None:
    options = common.parse(common.parser(__doc__, repeats=1))
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    import align_eval as ae
    from tests.device import Device

    class Counter(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: collections.Counter[str] = collections.Counter()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            self.calls[name] += name not in FREE
            return func(*args, **(kwargs or {}))

    names = [name for name in ae.testset_names() if name.endswith("-test") or not name.startswith(("mini", "xl-wa"))]
    wanted = 256 if options.quick else PAIRS
    pairs = [pair for name in names for pair in ae.load_testset(name).pairs][:wanted]
    torch.cuda.device_count = lambda: 1
    torch.cuda.mem_get_info = lambda *of: (MEMORY, MEMORY)
    with Device("cuda") as device:
        model = ae.load_model("offline:e5-small", device="cuda")
        waited = device.waits
        with Counter() as counter:
            ae.align(pairs, model)
        waits = device.waits - waited
    launches = counter.calls.total()
    batches = counter.calls["embedding"] / 3  # words, positions and segments
    row = {
        "pairs": len(pairs), "launches": launches, "a_pair": launches / len(pairs), "batches": batches,
        "waits": waits, "waits_a_batch": waits / batches,
    }  # fmt: skip
    columns = {
        "pairs": "pairs", "launches": "launches", "a_pair": "launches a pair", "batches": "batches of the encoder",
        "waits": "waits of the host", "waits_a_batch": "waits a batch",
    }  # fmt: skip
    most = [{"call": name, "count": count} for name, count in counter.calls.most_common(12) if count]
    tables = [Table(columns, [row]), Table({"call": "call", "count": "launches"}, most, "The most frequent")]
    bars = [
        Bar("kernel launches a pair", row["a_pair"], 1.0, least=False),
        Bar("waits a batch", row["waits_a_batch"], 2.0, least=False),
    ]
    settings = {"pairs": len(pairs), "memory_gib": MEMORY / 2**30, "model": "offline:e5-small", "method": "argmax"}
    common.write_part(
        options.out, "launches", "Launches on a GPU", tables, bars, settings=settings, machine=common.hardware(),
        quick=options.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
