"""The three families: which one a configuration is of, and the model of the package for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models.information import family_of, require_encoder

if TYPE_CHECKING:
    from align_eval.models.prompt import PromptTemplate

FAMILIES = ("encoder", "seq2seq", "decoder")


@dataclass(frozen=True)
class FamilyOptions:
    """What only some families take.

    Attributes:
        source_language, target_language: language codes; of an encoder-decoder model, or for the names of the
            languages in a decoder's prompt.
        source_prefix: text before each source sentence (encoder-decoder only).
        template: the prompt (decoder-only).
        head: ``"mlm"``: with the head that predicts hidden words (encoder only).
        decoder_mode: how the decoder reads its target, see :mod:`align_eval.models.masked_seq2seq` (encoder-decoder).
        precision: ``int16``, see :mod:`align_eval.models.int16` (encoder only, without a head).
    """

    source_language: str | None = None
    target_language: str | None = None
    source_prefix: str | None = None
    template: PromptTemplate | None = None
    head: str | None = None
    decoder_mode: str | None = None
    precision: str | None = None

    def check(self, family: str, name: str) -> None:
        """Raise :class:`InputError` if an option is given that ``family`` does not take."""
        allowed = {
            "encoder": ("head", "precision"),
            "seq2seq": ("source_language", "target_language", "source_prefix", "decoder_mode"),
            "decoder": ("source_language", "target_language", "template"),
        }[family]
        for option, value in vars(self).items():
            if value is not None and option not in allowed:
                raise InputError(f"{name} is of the family {family}, which takes no {option}", remedy="Leave it out")
        if self.head is not None and self.precision is not None:
            raise InputError("a head does not go with a precision", remedy="Leave out one of them")


def choose_family(name: str, config: Any, family: str) -> str:
    """The family to load a model as.

    Args:
        family: ``"auto"``: what the configuration is of; else it must be that.

    Raises:
        UnknownNameError: no such family.
        ModelError: the model is of another family.
    """
    if family not in (*FAMILIES, "auto"):
        raise UnknownNameError("family of models", family, (*FAMILIES, "auto"))
    if family == "encoder":
        require_encoder(name, config)
    found = family_of(config)
    if family not in ("auto", found):
        raise ModelError(
            f"{name} is a {found} model ({config.model_type}), not a {family} model",
            remedy=f"Leave out the family, or name a {family} model",
        )
    return found


HEADS = ("mlm",)


def wants_head(family: str, name: str, config: Any, options: FamilyOptions) -> bool:
    """Whether an encoder is loaded with its head for hidden words: if it is asked for, or its checkpoint is of one.

    Raises:
        UnknownNameError: an unknown head.
        ModelError: the head is asked for and the architecture has none.
    """
    if options.head is not None and options.head not in HEADS:
        raise UnknownNameError("head", options.head, HEADS)
    if family != "encoder":
        return False
    from transformers import MODEL_FOR_MASKED_LM_MAPPING

    stated = any(str(kind).endswith("ForMaskedLM") for kind in getattr(config, "architectures", None) or ())
    exists = type(config) in MODEL_FOR_MASKED_LM_MAPPING or "AutoModelForMaskedLM" in (
        getattr(config, "auto_map", None) or {}
    )
    if options.head and not exists:
        raise ModelError(
            f"the architecture of {name} ({config.model_type}) has no head that predicts hidden words",
            remedy="Choose a masked language model (BERT, XLM-R and their kin), or leave out the head",
        )
    return exists and (stated or options.head is not None)


def auto_class(family: str, *, head: bool = False) -> Any:
    """The class of ``transformers`` that loads a family; ``head``: with the head for hidden words."""
    import transformers

    if head:
        return transformers.AutoModelForMaskedLM
    names = {"encoder": "AutoModel", "seq2seq": "AutoModelForSeq2SeqLM", "decoder": "AutoModelForCausalLM"}
    return getattr(transformers, names[family])


def require_words(family: str, name: str, tokenizer: Any) -> None:
    """Check that sub-words can be traced to words.

    Raises:
        ModelError: an encoder or a decoder-only model without a fast tokenizer. (Encoder-decoder models check theirs.)
    """
    if family != "seq2seq" and not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{name} has no fast tokenizer, so that sub-words cannot be traced to words",
            remedy="Convert it to a tokenizer.json (package tokenizers), or choose a model that has one",
        )


def require_vocabulary(name: str, tokenizer: Any) -> None:
    """Check that the tokenizer knows more than special tokens: without its files it is made empty, without a word.

    Raises:
        ModelError: it does not.
    """
    known = tokenizer.get_vocab() if tokenizer.vocab_size < 1000 else {}
    if (known and not set(known) - set(tokenizer.all_special_tokens) - {"<unk>", "▁"}) or not tokenizer.vocab_size:
        raise ModelError(
            f"{name} has no tokenizer: the files of its vocabulary are missing",
            remedy="Copy them there, too (tokenizer.json, or vocabulary and SentencePiece files)",
        )


def require_room(name: str, tokenizer: Any, model: Any) -> None:
    """Check that the model has an embedding for each token of the tokenizer's vocabulary (added tokens aside).

    Raises:
        ModelError: it has fewer, so that tokenizer and model do not belong together.
    """
    rows = getattr(getattr(model.get_input_embeddings(), "weight", None), "shape", (0,))[0]
    if rows and tokenizer.vocab_size > rows:
        raise ModelError(
            f"the tokenizer of {name} has {tokenizer.vocab_size} tokens, and the model embeddings for {rows}",
            remedy="Copy the tokenizer's files of this very model",
        )


def make(family: str, name: str, model: Any, tokenizer: Any, options: FamilyOptions, **known: Any) -> Any:
    """The model of the package: an ``Encoder``, a ``Seq2Seq`` or a ``Decoder``, or a kind of it that fills.

    Args:
        known: revision, path, licence; ``masked_lm``, the encoder with its head.

    Raises:
        InputError: an option that the family does not take, or an unknown language code.
        ModelError: attention or word boundaries are not found.
    """
    options.check(family, name)
    if family == "encoder":
        from align_eval.models.encoder import Encoder

        encoder = Encoder(name, model, tokenizer, precision=options.precision, **known)
        if options.head is None:
            return encoder
        from align_eval.models.masked_encoder import MaskedEncoder

        return MaskedEncoder(encoder)
    if family == "seq2seq":
        from align_eval.models.masked_seq2seq import InfillingSeq2Seq, MaskedSeq2Seq, decoder_mode
        from align_eval.models.seq2seq import Seq2Seq

        kinds = {"causal": Seq2Seq, "masked": MaskedSeq2Seq, "causal-masked": InfillingSeq2Seq}
        return kinds[decoder_mode(model.config, options.decoder_mode, name)](
            name,
            model,
            tokenizer,
            source_language=options.source_language,
            target_language=options.target_language,
            source_prefix=options.source_prefix,
            **known,
        )
    from align_eval.models.decoder import Decoder
    from align_eval.models.prompt import PromptTemplate

    template = options.template or PromptTemplate()
    if options.source_language:
        template = replace(template, source_language=options.source_language)
    if options.target_language:
        template = replace(template, target_language=options.target_language)
    return Decoder(name, model, tokenizer, template=template, **known)
