"""Vectors of sentences from models that are no encoders: states of an encoder-decoder's encoder, or of a decoder.

:func:`vector_models` gives what reads source sentences and what reads target sentences. It is one thing, but for models
of several languages, whose encoder is told the language of a sentence by a tag. Tags, the start and the end of a
sentence are read by the model and are in no vector.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.errors import AlignEvalWarning, InputError
from align_eval.models.layers import HiddenStates
from align_eval.models.segmentation import surroundings
from align_eval.models.spans import span_owners, word_spans
from align_eval.models.tokenized import IdArray, Tokenized, check_words
from align_eval.models.vectors import VectorModel

if TYPE_CHECKING:
    from align_eval.models.decoder import Decoder
    from align_eval.models.seq2seq import Seq2Seq

# Translation models whose encoder has read the languages of one side alone.
_ONE_SIDED = frozenset({"marian", "fsmt"})


def vector_models(model: Any) -> tuple[VectorModel, VectorModel]:
    """What gives vectors of source sentences, and what gives those of target sentences.

    Args:
        model: of :func:`align_eval.models.load_model`: an encoder gives its own vectors, twice; an encoder-decoder
            model the states of its encoder, for each side with the tag of its language; a decoder-only one its states.

    Returns:
        both, with the calls of an :class:`~align_eval.models.encoder.Encoder` and the same weights and layers. Vectors
        of an encoder-decoder's layers 1 to L are what ``output_hidden_states=True`` gives.

    Raises:
        InputError: no such model; a language that the model needs is not named.

    Warns:
        AlignEvalWarning: the encoder of a translation model of one direction was trained on source sentences alone.
            (A model that translates into both languages has read both.)
    """
    if isinstance(model, VectorModel):
        return model, model
    own = getattr(model, "encoder", None)
    if isinstance(own, VectorModel):  # an encoder over concatenated pairs
        return own, own
    family = getattr(model, "family", None)
    if family == "decoder":
        both = DecoderStates(model)
        return both, both
    if family != "seq2seq":
        raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")
    languages = {model.source_language, model.target_language}
    if model.model.config.model_type in _ONE_SIDED and not languages <= set(model.codes):
        warnings.warn(_one_sided(model, None in languages), AlignEvalWarning, stacklevel=2)
    stack = model.model.get_encoder()
    states = HiddenStates(stack, getattr(stack, "config", model.model.config))
    source = EncoderStates(model, states, "source")
    target = EncoderStates(model, states, "target") if model.codes else source
    return source, target


def _one_sided(model: Any, unknown: bool) -> str:
    if model.codes and unknown:
        return (
            f"{model.name} translates into {len(model.codes)} languages: whether its encoder was trained on both sides "
            "is known once they are named (--source-language, --target-language)"
        )
    return (
        f"{model.name} translates one way: its encoder was trained on source sentences alone, so that its states of "
        "target sentences may mean little; align by its attention (--attention), or take a model of both languages"
    )


class EncoderStates(VectorModel):
    """States of the encoder of an encoder-decoder model, for sentences of one side.

    Args:
        model: the encoder-decoder model; its weights are shared.
        states: of its encoder.
        side: ``"source"`` or ``"target"``: whose language the encoder is told.

    Raises:
        InputError: the model needs a language that is not named.
    """

    family = "seq2seq"

    def __init__(self, model: Seq2Seq, states: HiddenStates, side: str) -> None:
        _share(self, model, states)
        self.model = states.model
        self.reader = model
        self.prefix, self.suffix = model.encoder_surroundings(side)
        self.window = self.max_length - len(self.prefix) - len(self.suffix)

    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        return self.reader.tokenize(sentences)

    @property
    def _pad(self) -> int:
        return self.reader.pad


class DecoderStates(VectorModel):
    """States of a decoder-only model over single sentences, their words joined by spaces.

    A state has read what stands before it alone. Where the tokenizer puts nothing in front of a sentence, the vector of
    its first token is that of a token without any context.

    Args:
        model: the decoder-only model; its weights are shared.
    """

    family = "decoder"

    def __init__(self, model: Decoder) -> None:
        states = HiddenStates(_without_head(model.model))
        _share(self, model, states)
        self.model = states.model
        self.prefix, self.suffix = surroundings(model.tokenizer)
        self.window = self.max_length - len(self.prefix) - len(self.suffix)

    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        """As :meth:`VectorModel.tokenize`; the tokens are those of the sentence as one text.

        Raises:
            ModelError: a token belongs to two words.
        """
        check_words(sentences)
        whole = [[k for k, word in enumerate(sentence) if word] for sentence in sentences]
        spoken = [[sentence[k] for k in kept] for sentence, kept in zip(sentences, whole, strict=True)]
        texts = [" ".join(words) for words in spoken]
        encodings = self.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        ids: list[int] = []
        words: list[IdArray] = [np.zeros(0, dtype=np.int64)]
        for k, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            owners = span_owners(offsets, word_spans(spoken[k], 0), text, f"sentence {k + 1}", self.name)
            if (owners >= 0).any():
                ids += encoding.ids
                words.append(np.array(whole[k], dtype=np.int64)[_filled(owners)])
            else:
                words.append(words[0])
        bounds = np.cumsum([len(part) for part in words])
        counts = np.array([len(sentence) for sentence in sentences], dtype=np.int32)
        return Tokenized(np.array(ids, dtype=np.int64), np.concatenate(words).astype(np.int32), bounds, counts)


def _share(view: VectorModel, model: Any, states: HiddenStates) -> None:
    """What a view has of the model that it looks into."""
    view.name, view.revision, view.path, view.licence = model.name, model.revision, model.path, model.licence
    view.layers, view.heads, view.hidden_size = states.layers, model.heads, model.hidden_size
    view.max_length, view.tokenizer = model.max_length, model.tokenizer
    view.device, view.dtype, view.precision = model.device, model.dtype, None
    view._states = states


def _without_head(model: Any) -> Any:
    """The stack below the layer that gives out words."""
    body = model.base_model
    return model.get_decoder() if body is model else body


def _filled(owners: IdArray) -> IdArray:
    """Tokens that stand in no word (a mark that a word begins, of no width) go to the word after them, or the last."""
    out = owners.copy()
    following = -1
    for k in range(len(out) - 1, -1, -1):
        following = int(out[k]) if out[k] >= 0 else following
        out[k] = following
    last = int(owners.max(initial=-1))
    out[out < 0] = last
    return out
