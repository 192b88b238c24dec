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
    """

    source_language: str | None = None
    target_language: str | None = None
    source_prefix: str | None = None
    template: PromptTemplate | None = None

    def check(self, family: str, name: str) -> None:
        """Raise :class:`InputError` if an option is given that ``family`` does not take."""
        allowed = {
            "encoder": (),
            "seq2seq": ("source_language", "target_language", "source_prefix"),
            "decoder": ("source_language", "target_language", "template"),
        }[family]
        for option, value in vars(self).items():
            if value is not None and option not in allowed:
                raise InputError(f"{name} is of the family {family}, which takes no {option}", remedy="Leave it out")


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


def auto_class(family: str) -> Any:
    """The class of ``transformers`` that loads a family."""
    import transformers

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


def make(family: str, name: str, model: Any, tokenizer: Any, options: FamilyOptions, **known: Any) -> Any:
    """The model of the package: an ``Encoder``, a ``Seq2Seq`` or a ``Decoder``.

    Args:
        known: revision, path, licence.

    Raises:
        InputError: an option that the family does not take, or an unknown language code.
        ModelError: attention or word boundaries are not found.
    """
    options.check(family, name)
    if family == "encoder":
        from align_eval.models.encoder import Encoder

        return Encoder(name, model, tokenizer, **known)
    if family == "seq2seq":
        from align_eval.models.seq2seq import Seq2Seq

        return Seq2Seq(
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
