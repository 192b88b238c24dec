"""What is known of a model without loading its weights: family, shape, licence, folder, revision."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from align_eval.errors import ModelError
from align_eval.files import sha256_of
from align_eval.models.provider import MODELS, PREFIX


@dataclass(frozen=True)
class ModelInformation:
    """A model as ``align-eval models show`` prints it; ``path`` is the folder that ``transformers`` loads."""

    name: str
    family: str
    path: str
    layers: int
    heads: int
    licence: str
    hidden_size: int
    max_length: int | None
    architecture: str
    revision: str
    origin: str
    citation: str

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


def describe_model(name: str, *, revision: str | None = None) -> ModelInformation:
    """What a model is. An offline model is converted first if need be, so that ``path`` exists.

    Args:
        name: ``offline:NAME`` (the prefix may be left out), a hub name, or a folder.
        revision: branch, tag or commit of a hub model.

    Raises:
        UnknownNameError, MissingFileError, ModelError: as ``load_model``.
    """
    short = name[len(PREFIX) :] if name.startswith(PREFIX) else name
    if name.startswith(PREFIX) or (name in MODELS and not Path(name).is_dir()):
        known = MODELS.get(short)
        return ModelInformation(
            name=PREFIX + known.name,
            family=known.family,
            path=str(known.folder()),
            layers=known.layers,
            heads=known.heads,
            licence=known.licence,
            hidden_size=known.hidden_size,
            max_length=known.max_length,
            architecture=known.architecture,
            revision=known.revision,
            origin=f"{known.origin}, {known.source.file} of {known.source.requirement}",
            citation=known.citation,
        )
    from align_eval.models.loading import loading_errors, local_folder

    local = local_folder(name)
    options = {} if revision is None else {"revision": revision}
    with loading_errors(name):
        config = read_config(str(local or name), **options)
    positions = getattr(config, "max_position_embeddings", None)
    return ModelInformation(
        name=name,
        family=family_of(config),
        path=str(local or hub_folder(name, **options) or ""),
        layers=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        licence=licence_of(name, local, **options),
        hidden_size=int(config.hidden_size),
        max_length=positions if isinstance(positions, int) else None,
        architecture=str(config.model_type),
        revision=revision_of(config, local),
        origin=str(local or name),
        citation="",
    )


def read_config(where: str, **options: Any) -> Any:
    """The configuration of a hub model or a folder, by ``transformers.AutoConfig``."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(where, **options)


def family_of(config: Any) -> str:
    """``"encoder"``, ``"seq2seq"`` or ``"decoder"``, from a configuration of ``transformers``."""
    from transformers.models.auto import modeling_auto

    if getattr(config, "is_encoder_decoder", False):
        return "seq2seq"
    kind = config.model_type
    causal = kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return "decoder" if getattr(config, "is_decoder", False) or (causal and not masked) else "encoder"


def require_encoder(name: str, config: Any) -> None:
    """Check the family.

    Raises:
        ModelError: the model is not an encoder.
    """
    family = family_of(config)
    if family != "encoder":
        raise ModelError(
            f"{name} is a {family} model ({config.model_type}), not an encoder",
            remedy="Name a bidirectional encoder such as BERT, XLM-R, LaBSE or E5",
        )


def hub_folder(name: str, **options: Any) -> Path | None:
    """The folder in the hub's cache that holds a model's files, or ``None``."""
    from transformers.utils import cached_file

    try:
        found = cached_file(name, "config.json", **options)
    except (OSError, ValueError):
        return None
    return None if found is None else Path(found).parent


def revision_of(config: Any, folder: Path | None) -> str:
    """What identifies the weights: the hub's commit, or for a folder 12 hex digits over the sha256 of its weights."""
    commit = getattr(config, "_commit_hash", None)
    if commit:
        return str(commit)
    if folder is None:
        return "unknown"
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:12]


def licence_of(name: str, folder: Path | None, **options: Any) -> str:
    """The licence that a model's README states in its head, or ``"unknown"``."""
    readme = folder / "README.md" if folder is not None else None
    if readme is None:
        from transformers.utils import cached_file

        try:
            found = cached_file(name, "README.md", _raise_exceptions_for_missing_entries=False, **options)
        except (OSError, ValueError):
            found = None
        readme = Path(found) if found else None
    if readme is None or not readme.is_file():
        return "unknown"
    head = readme.read_text("utf-8", errors="replace").split("\n---", 1)[0]
    stated = re.search(r"^license:\s*[\"']?([^\s\"']+)", head, re.MULTILINE)
    return stated[1] if stated else "unknown"
