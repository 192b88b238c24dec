"""Loading a model by name: an offline one, one of the model hub, or a local folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from align_eval.errors import InputError, ModelError
from align_eval.models import hub
from align_eval.models.loading_errors import loading_errors, quiet
from align_eval.models.offline import MODELS, PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from align_eval.models.decoder import Decoder, PromptTemplate
    from align_eval.models.encoder import Encoder
    from align_eval.models.families import FamilyOptions
    from align_eval.models.masked import MaskedEncoder
    from align_eval.models.seq2seq import Seq2Seq

DTYPES = ("float32", "bfloat16", "float16", "float64")


class LoadOptions(TypedDict, total=False):
    """The options of :func:`load_model`."""

    device: str
    dtype: str
    revision: str | None
    trust_remote_code: bool
    source_language: str | None
    target_language: str | None
    source_prefix: str | None
    template: PromptTemplate | None
    decoder_mode: str | None
    precision: str | None


@overload
def load_model(name: str, *, head: Literal["mlm"], **options: Unpack[LoadOptions]) -> MaskedEncoder: ...
@overload
def load_model(name: str, *, family: Literal["encoder"], **options: Unpack[LoadOptions]) -> Encoder: ...
@overload
def load_model(name: str, *, family: Literal["seq2seq"], **options: Unpack[LoadOptions]) -> Seq2Seq: ...
@overload
def load_model(name: str, *, family: Literal["decoder"], **options: Unpack[LoadOptions]) -> Decoder: ...
@overload
def load_model(name: str, *, family: str = ..., head: str | None = ..., **options: Unpack[LoadOptions]) -> Any: ...
def load_model(
    name: str, *, family: str = "auto", device: str = "auto", dtype: str = "float32", revision: str | None = None,
    trust_remote_code: bool = False, source_language: str | None = None, target_language: str | None = None,
    source_prefix: str | None = None, template: PromptTemplate | None = None, head: str | None = None,
    decoder_mode: str | None = None, precision: str | None = None,
) -> Any:  # fmt: skip
    """Load a model: an ``Encoder``, a ``Seq2Seq`` (encoder-decoder) or a ``Decoder`` (decoder-only).

    Models that fill masked words: an encoder-decoder model whose ``config.json`` says ``"decoder_mode": "masked"`` is
    a ``MaskedSeq2Seq``; an encoder whose ``config.json`` names an architecture ``...ForMaskedLM`` keeps its head as
    ``Encoder.masked_lm``, and with ``head="mlm"`` comes as a ``MaskedEncoder``, which reads pairs.

    Args:
        name: ``offline:NAME``; a name of the model hub (``xlm-roberta-base``); or a folder that ``transformers`` loads.
        family: ``"encoder"``, ``"seq2seq"`` or ``"decoder"``; ``"auto"`` takes that of the model's configuration.
        device: of torch: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` takes a GPU where there is one, but
            not MPS for float64, which it has not, and the CPU for a precision.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``.
        revision: branch, tag or commit of a hub model.
        trust_remote_code: let the model run Python code that comes with it. Weights run none: they are read from
            safetensors or, where there are none, from ``pytorch_model.bin`` by torch's restricted unpickler.
        source_language, target_language: codes of the languages, for an encoder-decoder model of several languages
            (see ``Seq2Seq``) and for the prompt of a decoder-only one.
        source_prefix: text in front of each source sentence of an encoder-decoder model (T5).
        template: the prompt of a decoder-only model (``PromptTemplate``).
        head: ``"mlm"``: an encoder over concatenated pairs with its trained head for masked words.
        decoder_mode: ``"causal"``, ``"masked"`` or ``"causal-masked"``: how the decoder of an encoder-decoder model
            was trained to read its target; ``None``: what ``config.json`` says, else ``"causal"``. See
            :mod:`align_eval.models.masked`.
        precision: ``"int16"``: an encoder computes its products in 16-bit integers on a CPU
            (:mod:`align_eval.models.cpu.int16`); ``None``: the numbers of ``dtype``.

    Raises:
        UnknownNameError: no such offline model; names the nearest.
        MissingFileError: no such folder.
        ModelError: it cannot be loaded (no network, weights missing or in a form that may run code, no trained head
            where one is asked for), it is not of the family asked for, its tokenizer cannot trace sub-words to words,
            the device is not there or too small; the processor or the model's kind does not allow the precision.
        ChecksumError, OutputError: an offline model could not be made.
        InputError: an unknown dtype, device or language code, an option that the family does not take, or a precision
            beside another dtype, a GPU or a head.
    """
    from align_eval.models.families import FamilyOptions

    given = FamilyOptions(source_language, target_language, source_prefix, template, head, decoder_mode, precision)
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}", remedy=f"Choose one of {', '.join(DTYPES)}")
    if precision is not None:
        from align_eval.models.cpu.int16 import check_precision

        device = "cpu" if device == "auto" else device
        check_precision(precision, dtype, torch_device(device, dtype))
    if name.startswith(PREFIX):
        if revision is not None:
            raise InputError(f"{name} has one revision only", remedy="Leave out the revision")
        offline = MODELS.get(name[len(PREFIX) :])
        place = torch_device(device, dtype)
        folder, trust_remote_code = offline.folder(), False
        known = (offline.revision, offline.licence)
    else:
        hub.local_folder(name)  # a wrong path is told before a missing device
        place = torch_device(device, dtype)
        found = hub.find(name, revision, trust_remote_code)
        folder, known = found.folder, (found.commit, hub.licence_of(found.card))
    return _load(name, folder, place, dtype, trust_remote_code, known, family, given)


def _load(
    name: str, folder: Path, device: Any, dtype: str, trust: bool, known: tuple[str, str], asked: str,
    given: FamilyOptions,
) -> Any:  # fmt: skip
    """Load a folder as the family ``asked`` for; ``known``: the revision (empty: that of the files) and the licence."""
    import torch
    from transformers import AutoTokenizer

    from align_eval.models import families
    from align_eval.models.cpu.unpadded import watch_forks
    from align_eval.models.native_marian import build, native_files

    watch_forks()
    if (native := native_files(folder)) is not None:
        families.require_family(name, "seq2seq", asked, "Marian")
        given.check("seq2seq", name)
        with loading_errors(name), quiet():
            made, tokenizer = build(folder, getattr(torch, dtype))
            revision = known[0] or hub.revision_of(folder, hub.Weights((native[0], *native[1]), False))
            return families.make(
                "seq2seq", name, made.to(device), tokenizer, given, revision=revision, path=folder, licence=known[1]
            )
    where, options = str(folder), {"trust_remote_code": trust, "local_files_only": not trust}
    with loading_errors(name), quiet():
        config = families.read_config(where, **options)
        family = families.choose_family(name, config, asked)
        weights = hub.weights_of(folder, name)
        tokenizer = AutoTokenizer.from_pretrained(where, config=config, use_fast=True, **options)
        families.require_tokenizer(family, name, tokenizer)
        given.check(family, name)
        with_head = families.wants_head(family, name, config, given)
        form = {"use_safetensors": not weights.pickled, "weights_only": True}
        with hub.unpickling_errors(weights):
            auto = families.auto_class(family, head=with_head)
            model, report = _weights(auto, where, config, getattr(torch, dtype), {**form, **options})
        model, headed = _whole(name, family, model, report, with_head, given.head)
        families.require_room(name, tokenizer, model)
        model = model.to(device)
        headed_model = {"masked_lm": model} if headed else {}
        return families.make(
            family, name, model.base_model if with_head else model, tokenizer, given, **headed_model,
            revision=known[0] or hub.revision_of(folder, weights), path=folder, licence=known[1],
        )  # fmt: skip


def _weights(auto: Any, where: str, config: Any, dtype: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Model and loading report; attention by SDPA where the model has it."""
    common = {"config": config, "output_loading_info": True, "ignore_mismatched_sizes": True, "dtype": dtype, **options}
    try:
        return auto.from_pretrained(where, attn_implementation="sdpa", **common)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return auto.from_pretrained(where, attn_implementation="eager", **common)


def _whole(
    name: str, family: str, model: Any, report: dict[str, Any], with_head: bool, asked: str | None
) -> tuple[Any, bool]:
    """The model without a layer that has no weights, and whether the head for masked words has them all."""
    lacking = [str(key) for key in report["missing_keys"] if "pooler" not in key]
    other = [key if isinstance(key, str) else str(key[0]) for key in report["mismatched_keys"]]
    body = f"{model.base_model_prefix}."
    of_head = [key for key in lacking if with_head and not key.startswith(body)]
    lacking_body = [key for key in lacking if key not in of_head]
    if family == "decoder" and lacking_body and not any(key.startswith(body) for key in lacking_body):
        # An embedding model, published without the layer that gives out words: its states and attention are whole.
        model, lacking_body = model.base_model, []
    if other:
        raise ModelError(
            f"{name} has {len(other)} weights of another shape than its config.json says: {', '.join(other[:3])}",
            remedy="Copy config.json and weights of one model",
        )
    if of_head and asked:
        raise ModelError(
            f"the weights of {name} have no trained head that predicts masked words: {len(of_head)} of its weights "
            f"are missing ({', '.join(of_head[:3])})",
            remedy="Choose a masked language model that was published with its head, or offline:tiny-deen-mask; "
            "without head='mlm' it gives vectors and attention",
        )
    if lacking_body:
        raise ModelError(
            f"{name} lacks {len(lacking_body)} weights that its config.json asks for: {', '.join(lacking_body[:3])}",
            remedy="Fetch the model again, or correct its files",
        )
    return model, with_head and not of_head


def torch_device(name: str = "auto", dtype: str = "float32") -> Any:
    """The ``torch.device`` that a name means; ``auto``: a GPU that is there and has the number type, else the CPU."""
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available() and dtype != "float64"
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}", remedy="Choose cpu, cuda, cuda:0, mps or auto") from None
    if device.type == "mps" and dtype == "float64":
        raise InputError("MPS has no float64", remedy="Pass --dtype float32 or --device cpu")
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelError(f"torch sees no device {name}", remedy="Use --device cpu, or check the driver and torch build")
    return device
