"""The weights of a model folder: which files they are, whether reading them runs no code, and what else may lie there.

Safetensors come first. ``pytorch_model.bin`` is read by torch's restricted unpickler, which builds tensors and plain
containers and calls nothing else; what needs more than that is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from align_eval.errors import ModelError
from align_eval.files import parse_json

SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX = ".index.json"
ADAPTER = "adapter_config.json"
MODULES = "modules.json"

_TO_SAFETENSORS = (
    "Choose a model with safetensors; or, if you trust its authors, write the tensors of this one to model.safetensors "
    "(safetensors.torch.save_file) beside it"
)


@dataclass(frozen=True)
class Weights:
    """The files that hold the weights of a folder.

    Attributes:
        files: all of them, the index first if there is one.
        pickled: they are ``.bin`` files.
    """

    files: tuple[Path, ...]
    pickled: bool


def weights_of(folder: Path, name: str) -> Weights:
    """The weights that a folder's model is loaded from: safetensors if there are any, else ``pytorch_model.bin``.

    Args:
        folder: holds ``config.json``.
        name: of the model, for messages.

    Raises:
        ModelError: there are none, a shard is missing, or a file is a pointer of Git LFS.
    """
    present = {path.name for path in folder.iterdir()}
    if ADAPTER in present:
        raise ModelError(_adapter(name, folder), remedy=_merge("or remove adapter_config.json if that is done already"))
    main = main_file(present)
    if main is None:
        what, remedy = other_forms(present)
        raise ModelError(f"{name} holds {what}", remedy=remedy)
    files = [folder / main]
    if main.endswith(INDEX):
        files += [folder / shard for shard in shards_of(folder / main)]
    for path in files:
        if not path.is_file():
            raise ModelError(
                f"the weights of {name} are incomplete: {path.name} is missing, which {main} lists", file=folder,
                remedy="Copy or download the file",
            )  # fmt: skip
        require_no_pointer(path)
    return Weights(tuple(files), main in PICKLED)


def main_file(present: Collection[str]) -> str | None:
    """The file that loading the weights starts from, of the names of files in a folder."""
    return next((name for name in (*SAFE, *PICKLED) if name in present), None)


def shards_of(index: Path) -> list[str]:
    """The names of the files that an index lists, sorted.

    Raises:
        ModelError: it is no index, or a name leaves the folder.
    """
    again = "Copy or download the model again"
    try:
        listed = sorted(set(parse_json(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError("the file is no index of weights", file=index, remedy=again) from None
    ending = ".bin" if index.name in PICKLED else ".safetensors"
    for name in listed:
        if not isinstance(name, str) or PurePosixPath(name).name != name or "\\" in name or not name.endswith(ending):
            raise ModelError(
                f"the index of weights lists {str(name)[:80]!r}, which is no {ending} file beside it", file=index,
                remedy=again,
            )  # fmt: skip
    if not listed:
        raise ModelError("the index of weights lists no file", file=index, remedy=again)
    return listed


def require_no_pointer(path: Path) -> None:
    """Check that a file is not what Git leaves in the place of a large one.

    Raises:
        ModelError: it is a pointer of Git LFS.
    """
    with path.open("rb") as stream:
        if stream.read(40).startswith(b"version https://git-lfs"):
            raise ModelError(
                "the file is a pointer of Git LFS, not the weights", file=path,
                remedy="Fetch the files themselves: git lfs pull",
            )  # fmt: skip


def other_forms(present: Collection[str]) -> tuple[str, str]:
    """What a folder without readable weights holds, and the remedy."""
    endings = {PurePosixPath(name).suffix.lower(): name for name in sorted(present)}
    convert = "with transformers 4 and the package that it needs, then save_pretrained(NEW_FOLDER)"
    if ".gguf" in endings:
        return (
            f"weights of llama.cpp ({endings['.gguf']}), whose numbers are quantised",
            "Name the model that it was made from, with safetensors",
        )
    for name, word in (("tf_model.h5", "TensorFlow"), ("flax_model.msgpack", "Flax")):
        if name in present or f"{name}{INDEX}" in present:
            option = "from_tf=True" if word == "TensorFlow" else "from_flax=True"
            return (
                f"weights of {word} alone ({name})",
                f"Convert them once: from_pretrained(FOLDER, {option}) {convert}",
            )
    if any(".ckpt" in name for name in present):
        return (
            "a TensorFlow checkpoint alone (.ckpt)",
            f"Convert it once: from_pretrained(FOLDER, from_tf=True) {convert}",
        )
    if ".onnx" in endings or "onnx" in present:
        return "a model for ONNX Runtime alone", "Name the model that it was exported from, with safetensors"
    if "openvino_model.xml" in present:
        return "a model for OpenVINO alone", "Name the model that it was exported from, with safetensors"
    if "model.bin" in present:
        return "weights of CTranslate2 (model.bin)", "Name the model that it was converted from, with safetensors"
    odd = [n for n in sorted(present) if n.endswith((".bin", ".safetensors")) and not n.startswith("training_args")]
    if odd:
        return (
            f"no weights under the names that are read, but {', '.join(odd[:3])}",
            f"Rename the file to {SAFE[0]} or {PICKLED[0]}, if it is the model's",
        )
    pickles = [n for n in sorted(present) if n.endswith((".pt", ".pth", ".pkl"))]
    if pickles:
        return (
            f"a checkpoint in a form of its own ({', '.join(pickles[:3])})",
            "Convert it with the program that made it to a folder that transformers loads",
        )
    return "no weights", f"Put {SAFE[0]} (or {PICKLED[0]}) there, or name another folder"


def not_a_model(folder: Path) -> tuple[str, str]:
    """What a folder without ``config.json`` is, and the remedy."""
    present = {path.name for path in folder.iterdir()}
    if not present:
        return "the folder is empty", "Name a folder with a model"
    if ADAPTER in present:
        return _adapter("the folder", folder), _merge("and name the folder that it was saved to")
    if main_file(present) is not None:
        return "the folder holds weights but no config.json", "Copy config.json and the tokenizer's files there, too"
    inner = [path.name for path in sorted(folder.iterdir()) if (path / "config.json").is_file()]
    if inner:
        return "the folder holds no config.json", f"Name the folder inside it: {folder / inner[-1]}"
    what, remedy = other_forms(present)
    if what == "no weights":
        return "the folder holds no config.json", "Name a folder with a model"
    return f"the folder holds no config.json but {what}", remedy


def transformer_module(listed: Any) -> str | None:
    """The subfolder of the transformer in ``modules.json`` of sentence-transformers; empty: the folder itself."""
    if not isinstance(listed, list):
        return None
    for entry in listed:
        if isinstance(entry, dict) and str(entry.get("type", "")).endswith(".Transformer"):
            path = entry.get("path", "")
            return path if isinstance(path, str) and PurePosixPath(path).name == path else None
    return None


def _adapter(name: str, folder: Path) -> str:
    base = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        base = parse_json((folder / ADAPTER).read_text("utf-8")).get("base_model_name_or_path")
    return f"{name} holds a PEFT adapter{f' of {base}' if base else ''}, and adapters are not loaded"


def _merge(end: str) -> str:
    return f"Merge it into its base (peft: merge_and_unload, then save_pretrained), {end}"


@contextlib.contextmanager
def unpickling_errors(weights: Weights) -> Iterator[None]:
    """Turn what torch raises for a ``.bin`` file into a :class:`ModelError` that names it."""
    try:
        yield
    except Exception:
        for file in weights.files if weights.pickled else ():
            if file.suffix == ".bin":
                _require_unpickled(file)
        raise


def _require_unpickled(file: Path) -> None:
    """Unpickle once more, without data, to tell which file is at fault and why.

    Raises:
        ModelError: it does not unpickle.
    """
    import torch

    try:
        torch.load(file, map_location="meta", weights_only=True)
    except Exception as error:
        text = " ".join(str(error).split())
        if "legacy .tar" in text:
            why = "it is a tar file of torch before 0.1.10"
        elif "TorchScript" in text:
            why = "it is a TorchScript program"
        elif "GLOBAL " in text:
            why = f"it names {text.partition('GLOBAL ')[2].split()[0]}, and to unpickle that may run code"
        else:
            raise ModelError(
                "the file holds no weights that torch.load reads with weights_only=True, or is cut or damaged",
                file=file, remedy="Copy or download it again",
            ) from error  # fmt: skip
        raise ModelError(
            f"the weights are refused, since they need more than torch's restricted unpickler: {why}", file=file,
            remedy=_TO_SAFETENSORS,
        ) from error  # fmt: skip
