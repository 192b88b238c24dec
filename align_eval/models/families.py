"""The families of models: which one a configuration is of, what it is before its weights are loaded, and its class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.files import parse_json
from align_eval.models.offline import MODELS, PREFIX

if TYPE_CHECKING:
    from align_eval.models.decoder import PromptTemplate


class Family(NamedTuple):
    """A family in words, the class of ``transformers`` that loads it, and the options that only some families take."""

    title: str
    auto: str
    options: tuple[str, ...]


FAMILIES = {
    "encoder": Family("an encoder", "AutoModel", ("head", "precision")),
    "seq2seq": Family(
        "a seq2seq model", "AutoModelForSeq2SeqLM",
        ("source_language", "target_language", "source_prefix", "decoder_mode"),
    ),
    "decoder": Family("a decoder model", "AutoModelForCausalLM", ("source_language", "target_language", "template")),
}  # fmt: skip


@dataclass(frozen=True)
class FamilyOptions:
    """What only some families take, as :func:`align_eval.models.load_model` has it."""

    source_language: str | None = None
    target_language: str | None = None
    source_prefix: str | None = None
    template: PromptTemplate | None = None
    head: str | None = None
    decoder_mode: str | None = None
    precision: str | None = None

    def check(self, family: str, name: str) -> None:
        """Raise :class:`InputError` if an option is given that ``family`` does not take."""
        for option, value in vars(self).items():
            if value is not None and option not in FAMILIES[family].options:
                raise InputError(f"{name} is of the family {family}, which takes no {option}", remedy="Leave it out")
        if self.head is not None and self.precision is not None:
            raise InputError("a head does not go with a precision", remedy="Leave out one of them")


def choose_family(name: str, config: Any, family: str) -> str:
    """The family to load a model as: that of its configuration, which must be ``family`` if that is not ``"auto"``."""
    if family not in (*FAMILIES, "auto"):
        raise UnknownNameError("family of models", family, (*FAMILIES, "auto"))
    found = family_of(config)
    require_family(name, found, family, config.model_type)
    return found


def require_family(name: str, found: str, asked: str, kind: str) -> None:
    """Raise :class:`ModelError` unless a model of the family ``found`` is what was asked for."""
    if asked not in ("auto", found):
        title, remedy = FAMILIES[asked].title, f"Leave out the family, or name a {asked} model"
        if asked == "encoder":
            remedy = "Name a bidirectional encoder such as BERT, XLM-R, LaBSE or E5"
        raise ModelError(f"{name} is a {found} model ({kind}), not {title}", remedy=remedy)


def wants_head(family: str, name: str, config: Any, options: FamilyOptions) -> bool:
    """Whether an encoder is loaded with its head for masked words: if it is asked for, or its checkpoint is of one."""
    if options.head not in (None, "mlm"):
        raise UnknownNameError("head", options.head, ("mlm",))
    if family != "encoder":
        return False
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    stated = any(str(kind).endswith("ForMaskedLM") for kind in getattr(config, "architectures", None) or ())
    exists = type(config) in MODEL_FOR_MASKED_LM_MAPPING or "AutoModelForMaskedLM" in (
        getattr(config, "auto_map", None) or {}
    )
    if options.head and not exists:
        raise ModelError(
            f"the architecture of {name} ({config.model_type}) has no head that predicts masked words",
            remedy="Choose a masked language model (BERT, XLM-R and their kin), or leave out the head",
        )
    return exists and (stated or options.head is not None)


def auto_class(family: str, *, head: bool = False) -> Any:
    """The class of ``transformers`` that loads a family; ``head``: with the head for masked words."""
    import transformers

    return getattr(transformers, "AutoModelForMaskedLM" if head else FAMILIES[family].auto)


def require_tokenizer(family: str, name: str, tokenizer: Any) -> None:
    """Check that sub-words can be traced to words, and that the tokenizer knows more than special tokens.

    Without the files of its vocabulary it is made empty, without a word. Encoder-decoder models check theirs for words.
    """
    if family != "seq2seq" and not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{name} has no fast tokenizer, so that sub-words cannot be traced to words",
            remedy="Convert it to a tokenizer.json (package tokenizers), or choose a model that has one",
        )
    known = tokenizer.get_vocab() if tokenizer.vocab_size < 1000 else {}
    if (known and not set(known) - set(tokenizer.all_special_tokens) - {"<unk>", "▁"}) or not tokenizer.vocab_size:
        raise ModelError(
            f"{name} has no tokenizer: the files of its vocabulary are missing",
            remedy="Copy them there, too (tokenizer.json, or vocabulary and SentencePiece files)",
        )


def require_room(name: str, tokenizer: Any, model: Any) -> None:
    """Check that the model has an embedding for each token of the tokenizer's vocabulary (added tokens aside)."""
    rows = getattr(getattr(model.get_input_embeddings(), "weight", None), "shape", (0,))[0]
    if rows and tokenizer.vocab_size > rows:
        raise ModelError(
            f"the tokenizer of {name} has {tokenizer.vocab_size} tokens, and the model embeddings for {rows}",
            remedy="Copy the tokenizer's files of this very model",
        )


def make(family: str, name: str, model: Any, tokenizer: Any, options: FamilyOptions, **known: Any) -> Any:
    """The model of the package: an ``Encoder``, a ``Seq2Seq`` or a ``Decoder``, or a kind of it that fills.

    ``known`` are revision, path and licence, and ``masked_lm``, the encoder with its head.
    """
    options.check(family, name)
    languages: dict[str, Any] = {"source_language": options.source_language, "target_language": options.target_language}
    if family == "encoder":
        from align_eval.models.encoder import Encoder

        encoder = Encoder(name, model, tokenizer, precision=options.precision, **known)
        if options.head is None:
            return encoder
        from align_eval.models.masked import MaskedEncoder

        return MaskedEncoder(encoder)
    if family == "seq2seq":
        from align_eval.models.masked import seq2seq_kind

        kind = seq2seq_kind(model.config, options.decoder_mode, name)
        return kind(name, model, tokenizer, source_prefix=options.source_prefix, **languages, **known)
    from align_eval.models.decoder import Decoder, PromptTemplate

    template = replace(options.template or PromptTemplate(), **{key: code for key, code in languages.items() if code})
    return Decoder(name, model, tokenizer, template=template, **known)


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
        folder = known.folder()  # before the revision: it checks the files
        return ModelInformation(
            PREFIX + known.name, known.family, str(folder), known.layers, known.heads, known.licence, known.hidden_size,
            known.max_length, known.architecture, known.revision, f"{known.origin}, {known.provenance}", known.citation,
        )  # fmt: skip
    from align_eval.models import hub
    from align_eval.models.loading_errors import loading_errors, quiet
    from align_eval.models.native_marian import WINDOW, native_files, read_arrays
    from align_eval.models.native_marian import read_config as read_native

    found = hub.find(name, revision, trust_remote_code, only_config=True)
    if (native := native_files(found.folder)) is not None:
        options = read_native(read_arrays(native[0]), native[0])
        return ModelInformation(
            name, "seq2seq", str(found.folder), int(options.get("dec-depth", 6)),
            int(options.get("transformer-heads", 8)), hub.licence_of(found.card), int(options["dim-emb"]), WINDOW,
            "marian", hub.revision_of(found.folder, hub.Weights((native[0], *native[1]), False)), name, "",
        )  # fmt: skip
    with loading_errors(name), quiet():
        config = read_config(str(found.folder), trust_remote_code=trust_remote_code)
        present = [path.name for path in found.folder.iterdir()]
        weights = hub.weights_of(found.folder, name) if hub.main_file(present) and not found.commit else None
        own = stack_config(config)
        positions = getattr(own, "max_position_embeddings", None)
        return ModelInformation(
            name, family_of(config), str(found.folder), int(getattr(own, "num_hidden_layers", 0)),
            int(getattr(own, "num_attention_heads", 0)), hub.licence_of(found.card), int(own.hidden_size),
            positions if isinstance(positions, int) else None, str(config.model_type),
            found.commit or hub.revision_of(found.folder, weights), name, "",
        )  # fmt: skip


#: Layers of a model; a damaged number would have ``transformers`` build blocks until the memory is full.
MOST_LAYERS = 10_000


def read_config(where: str, **options: Any) -> Any:
    """The configuration of a hub model or a folder; one of more than :data:`MOST_LAYERS` layers is refused."""
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
