"""Loading a model by name: an offline one, one of the model hub, or a local folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.errors import AlignEvalError, InputError, MissingFileError, ModelError, nearest_names
from align_eval.models.provider import MODELS, PREFIX

if TYPE_CHECKING:
    from align_eval.models.encoder import Encoder

DTYPES = ("float32", "bfloat16", "float16", "float64")


def load_model(
    name: str,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Encoder:
    """Load an encoder.

    Args:
        name: ``offline:NAME``; a name of the model hub (``xlm-roberta-base``); or a folder that ``transformers`` loads.
        device: of torch: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes a GPU where there is one.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: let the model run Python code that comes with it. Weights are read from safetensors only.

    Raises:
        UnknownNameError: no such offline model; names the nearest.
        MissingFileError: no such folder.
        ModelError: it cannot be loaded (no network, no safetensors, weights missing), it is not an encoder, its
            tokenizer is not a fast one, or the device is not there.
        ChecksumError, OutputError: an offline model could not be made.
        InputError: an unknown dtype or device.
    """
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}", remedy=f"Choose one of {', '.join(DTYPES)}")
    place = _device(device)
    if name.startswith(PREFIX):
        if revision is not None:
            raise InputError(f"{name} has one revision only", remedy="Leave out the revision")
        offline = MODELS.get(name[len(PREFIX) :])
        folder = offline.folder()
        return _load(name, str(folder), place, dtype, None, False, offline.revision, folder, offline.licence)
    local = local_folder(name)
    return _load(name, str(local or name), place, dtype, revision, trust_remote_code, None, local, None)


def local_folder(name: str) -> Path | None:
    """The folder that ``name`` means, or ``None`` if it is a name of the model hub (``owner/model`` or ``model``).

    Raises:
        MissingFileError: ``name`` can only be a path, and no such folder exists, or it holds no model.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise MissingFileError("the folder holds no config.json", file=path, remedy="Name a folder with a model")
        return path
    if name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name or not name or path.exists():
        raise MissingFileError(
            "no such model folder", file=name, remedy="Check the path; `align-eval models list` lists offline models"
        )
    return None


def _load(
    name: str, where: str, device: Any, dtype: str, revision: str | None, trust: bool, known_revision: str | None,
    folder: Path | None, licence: str | None,
) -> Encoder:  # fmt: skip
    import torch
    from transformers import AutoModel, AutoTokenizer

    from align_eval.models import information
    from align_eval.models.encoder import Encoder

    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust}
    if revision is None:
        del options["revision"]
    with loading_errors(name), _quiet():
        config = information.read_config(where, **options)
        information.require_encoder(name, config)
        tokenizer = AutoTokenizer.from_pretrained(where, config=config, use_fast=True, **options)
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"{name} has no fast tokenizer, so that sub-words cannot be traced to words",
                remedy="Convert it to a tokenizer.json (package tokenizers), or choose a model that has one",
            )
        model, report = _weights(AutoModel, where, config, getattr(torch, dtype), options)
    lacking = [key for key in report["missing_keys"] if "pooler" not in key]
    if lacking or report["mismatched_keys"]:
        raise ModelError(
            f"{name} lacks weights: {', '.join(map(str, [*lacking, *report['mismatched_keys']][:3]))}",
            remedy="Its files do not fit its config.json: fetch the model again",
        )
    return Encoder(
        name,
        model.to(device),
        tokenizer,
        revision=known_revision or information.revision_of(config, folder),
        path=folder or information.hub_folder(where, **options),
        licence=licence or information.licence_of(where, folder, **options),
    )


def _weights(auto: Any, where: str, config: Any, dtype: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Model and loading report; attention by SDPA where the model has it."""
    import transformers

    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    word = "dtype" if (major, minor) >= (4, 56) else "torch_dtype"
    common = {"config": config, "use_safetensors": True, "output_loading_info": True, word: dtype, **options}
    try:
        loaded = auto.from_pretrained(where, attn_implementation="sdpa", **common)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        loaded = auto.from_pretrained(where, attn_implementation="eager", **common)
    return loaded  # type: ignore[no-any-return]


def _device(name: str) -> Any:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}", remedy="Choose cpu, cuda, cuda:0, mps or auto") from None
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelError(f"torch sees no device {name}", remedy="Use --device cpu, or check the driver and torch build")
    return device


@contextlib.contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Turn what ``transformers`` raises for a model that cannot be loaded into a :class:`ModelError` with a remedy."""
    try:
        yield
    except AlignEvalError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())
        near = nearest_names(name, MODELS.names())
        if "trust_remote_code" in text:
            remedy = "Pass --trust-remote-code if you trust its authors"
        elif isinstance(error, ImportError):
            remedy = "Install what it names"
        elif "safetensors" in text and "OSError" in type(error).__mro__[0].__name__:
            remedy = "Only safetensors weights are read: convert the model to safetensors"
        elif near:
            remedy = f"Did you mean {PREFIX}{near[0]}?"
        else:
            remedy = "Check the name and the network; `align-eval models list` lists models that need none"
        raise ModelError(f"{name} cannot be loaded: {text[:300].rstrip('.')}", remedy=remedy) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in {"huggingface_hub", "safetensors", "httpx", "requests"}:
            raise ModelError(
                f"{name} cannot be loaded: {' '.join(str(error).split())[:300].rstrip('.')}",
                remedy="Check its files and the network, and fetch it again",
            ) from error
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and notes of ``transformers`` while a model loads; missing weights are checked by us."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
