"""Loading a model by name: an offline one, one of the model hub, or a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, ModelError
from align_eval.models import hub
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
        known = {"folder": folder, "revision": offline.revision, "licence": offline.licence}
        return _load(name, str(folder), place, dtype, {}, known)
    local = hub.local_folder(name)
    if local is not None:
        return _load(name, str(local), place, dtype, {"trust_remote_code": trust_remote_code}, {"folder": local})
    return _load(name, name, place, dtype, hub.hub_options(name, revision, trust_remote_code), {})


def _load(name: str, where: str, device: Any, dtype: str, options: dict[str, Any], known: dict[str, Any]) -> Encoder:
    """Load from ``where``; ``known`` has what an offline model states of itself: folder, revision, licence."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from align_eval.models.encoder import Encoder
    from align_eval.models.information import read_config, require_encoder

    with hub.loading_errors(name), hub.quiet():
        config = read_config(where, **options)
        require_encoder(name, config)
        tokenizer = AutoTokenizer.from_pretrained(where, config=config, use_fast=True, **options)
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"{name} has no fast tokenizer, so that sub-words cannot be traced to words",
                remedy="Convert it to a tokenizer.json (package tokenizers), or choose a model that has one",
            )
        model, report = _weights(AutoModel, where, config, getattr(torch, dtype), options)
        lacking = [str(key) for key in report["missing_keys"] if "pooler" not in key]
        lacking += [str(key) for key in report["mismatched_keys"]]
        if lacking:
            raise ModelError(
                f"{name} lacks {len(lacking)} weights that its config.json asks for: {', '.join(lacking[:3])}",
                remedy="Fetch the model again, or correct its files",
            )
        folder = known.get("folder") or hub.hub_folder(where, **options)
        return Encoder(
            name,
            model.to(device),
            tokenizer,
            revision=known.get("revision") or hub.revision_of(config, folder),
            path=folder,
            licence=known.get("licence") or hub.licence_of(folder),
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
