"""What is known of a model without loading its weights: family, shape, licence, folder, revision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from align_eval.errors import ModelError
from align_eval.models.provider import MODELS, PREFIX
from align_eval.nested import parse_json


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


def describe_model(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> ModelInformation:
    """What a model is. An offline model is converted first if need be, so that ``path`` exists.

    Args:
        name: ``offline:NAME`` (the prefix may be left out), a hub name, or a folder.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: let a configuration run Python code that comes with it.

    Raises:
        UnknownNameError, MissingFileError, ModelError: as ``load_model``.
    """
    short = name[len(PREFIX) :] if name.startswith(PREFIX) else name
    if name.startswith(PREFIX) or (name in MODELS and not Path(name).is_dir()):
        known = MODELS.get(short)
        return ModelInformation(
            name=PREFIX + known.name,
            family=known.family,
            path=str(known.folder()),  # before the revision: it checks the files
            layers=known.layers,
            heads=known.heads,
            licence=known.licence,
            hidden_size=known.hidden_size,
            max_length=known.max_length,
            architecture=known.architecture,
            revision=known.revision,
            origin=f"{known.origin}, {known.provenance}",
            citation=known.citation,
        )
    from align_eval.models import hub
    from align_eval.models.identity import revision_of
    from align_eval.models.loading_errors import loading_errors, quiet
    from align_eval.models.weights import main_file, weights_of

    found = hub.find(name, revision, trust_remote_code, only_config=True)
    with loading_errors(name), quiet():
        config = read_config(str(found.folder), trust_remote_code=trust_remote_code)
        present = [path.name for path in found.folder.iterdir()]
        weights = weights_of(found.folder, name) if main_file(present) and not found.commit else None
        own = stack_config(config)
        positions = getattr(own, "max_position_embeddings", None)
        return ModelInformation(
            name=name,
            family=family_of(config),
            path=str(found.folder),
            layers=int(getattr(own, "num_hidden_layers", 0)),
            heads=int(getattr(own, "num_attention_heads", 0)),
            licence=hub.licence_of(found.card),
            hidden_size=int(own.hidden_size),
            max_length=positions if isinstance(positions, int) else None,
            architecture=str(config.model_type),
            revision=found.commit or revision_of(found.folder, weights),
            origin=name,
            citation="",
        )


#: Layers of a model; a damaged number would have ``transformers`` build blocks until the memory is full.
MOST_LAYERS = 10_000


def read_config(where: str, **options: Any) -> Any:
    """The configuration of a hub model or a folder, by ``transformers.AutoConfig``.

    Raises:
        ModelError: it says more than :data:`MOST_LAYERS` layers.
    """
    from transformers import AutoConfig

    path = Path(where, "config.json")
    if path.is_file():
        for key, value in _numbers(parse_json(path.read_bytes())):
            if "layer" in key and value > MOST_LAYERS:
                raise ModelError(
                    f"{key} is {value}, and no model has more than {MOST_LAYERS:,} layers", file=path,
                    remedy="Copy the file of the model again",
                )  # fmt: skip
    return AutoConfig.from_pretrained(where, **options)


def _numbers(value: Any) -> Iterator[tuple[str, int]]:
    """The whole numbers of a configuration by key, those of the parts of a model put together of several included."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, int):
            yield key, inner
        yield from _numbers(inner)


def stack_config(config: Any) -> Any:
    """The part of a configuration that has the shape: of the text, and of a model put together of two, the decoder."""
    text = config.get_text_config()
    decoder = getattr(text, "decoder", None)
    return text if decoder is None or hasattr(text, "num_hidden_layers") else decoder


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
