"""Weights of a model folder rewritten in the forms that ``pytorch_model.bin`` has had, good and bad."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

INDEX = "pytorch_model.bin.index.json"


def to_bin(
    folder: Path, shards: int = 1, change: Callable[[dict[str, Any]], dict[str, Any]] = dict, **saving: Any
) -> Path:
    """Replace ``model.safetensors`` by ``pytorch_model.bin`` in one or several files; returns the folder."""
    import torch
    from safetensors.torch import load_file

    tensors = change(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin", **saving)
        return folder
    names = [f"pytorch_model-{k + 1:05}-of-{shards:05}.bin" for k in range(shards)]
    place = {key: names[k % shards] for k, key in enumerate(tensors)}
    for name in names:
        torch.save({key: tensors[key] for key in tensors if place[key] == name}, folder / name, **saving)
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": place}), "utf-8")
    return folder


class Calls:
    """Unpickles by a call that leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def malicious(kind: str, tensors: dict[str, Any], mark: Path) -> bytes:
    """A file of weights that makes ``mark`` when it is unpickled without restrictions."""
    import torch

    out = io.BytesIO()
    if kind == "zip":
        torch.save({**tensors, "more": Calls(mark)}, out)
    elif kind == "before zip":
        torch.save({**tensors, "more": Calls(mark)}, out, _use_new_zipfile_serialization=False)
    elif kind == "plain pickle":
        pickle.dump(Calls(mark), out, protocol=2)
    elif kind == "text pickle":
        return f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    elif kind == "eval":
        code = f"open({str(mark)!r}, 'w')"
        return b"\x80\x02cbuiltins\neval\n(X" + len(code).to_bytes(4, "little") + code.encode() + b"tR."
    elif kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name in ("storages", "tensors", "pickle"):
                data = pickle.dumps(Calls(mark), 2)
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    elif kind == "module":
        torch.save(torch.nn.Linear(2, 2), out)
    elif kind == "numpy":
        import numpy as np

        torch.save({"weight": np.zeros(3)}, out)
    return out.getvalue()


MALICIOUS = ("zip", "before zip", "plain pickle", "text pickle", "eval", "tar", "module", "numpy")
