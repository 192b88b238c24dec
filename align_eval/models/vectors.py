"""Vectors of the tokens of sentences at chosen layers, in batches: of encoders, and of stacks of other models.

:func:`vector_models` gives what reads source sentences and what reads target sentences. It is one thing, but for models
of several languages, whose encoder is told the language of a sentence by a tag. Tags, the start and the end of a
sentence are read by the model and are in no vector. No block beyond the deepest layer that is asked for is computed.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align_eval.errors import AlignEvalWarning, InputError, ModelError, NonFiniteError, SentenceTooLongError
from align_eval.models.adapters import adapter_of
from align_eval.models.attention import Reached
from align_eval.models.batching import buckets, budget_of, in_halves, padded
from align_eval.models.loaded import Loaded
from align_eval.models.loading_errors import forward_errors
from align_eval.models.tokens import IdArray, Tokenized, check_words, span_owners, surroundings, word_spans

if TYPE_CHECKING:
    import torch
    from torch import nn

    from align_eval.models.decoder import Decoder
    from align_eval.models.seq2seq import Seq2Seq

Batch = tuple[Sequence[int], "torch.Tensor", "NDArray[np.int64]", "torch.Tensor"]
"""Indices of the sentences of a batch, states ``(layers, R, width)``, the row in which each sentence begins, and
whether all numbers are finite (a bool on the device)."""

# What one more batch costs, in tokens: measured on a CPU; a GPU computes many tokens in the time of a launch.
_BATCH_COST = {"cpu": 50}
_BATCH_COST_ELSEWHERE = 1024


@dataclass(frozen=True)
class Vectors:
    """The vectors of the tokens of n sentences, one sentence after the other, on the model's device.

    Attributes:
        values: ``(layers, N, width)``; equal sentences, computed once, share their rows.
        starts, lengths: ``(n,)``; sentence ``k`` has the rows ``starts[k]`` to ``starts[k] + lengths[k] - 1``.
    """

    values: torch.Tensor
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __getitem__(self, sentence: int) -> torch.Tensor:
        """The vectors of a sentence, ``(layers, tokens, width)``; a view."""
        start = int(self.starts[sentence])
        return self.values[:, start : start + int(self.lengths[sentence])]


class HiddenStates:
    """Hidden states of a stack of blocks (an encoder, say) by layer: 0 is the embeddings, ``k`` block ``k``'s output.

    The state after block ``k`` is read as the input of block ``k + 1``, and the forward pass ends there. So the numbers
    are those of ``output_hidden_states=True``, and no weight is copied. A model without a list of blocks runs in full.
    ``config`` is the configuration of a model that has none of its own.
    """

    def __init__(self, model: nn.Module, config: Any = None) -> None:
        self.model: Any = model
        self.config: Any = self.model.config if config is None else config
        self.layers = int(getattr(self.config, "num_hidden_layers", 0) or 0)
        self._lock = threading.Lock()
        parameters = inspect.signature(self.model.forward).parameters
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
        adapter = adapter_of(self.config)
        full = [] if adapter.bert_blocks else self._probe()
        if full:
            self.layers = len(full) - 1
        self.blocks = adapter.blocks(model, self.layers)
        if self.blocks is not None and full and not self._agrees(full):
            self.blocks = None

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None, layers: Sequence[int]) -> list[torch.Tensor]:
        """The states of ``layers`` (0 to ``self.layers``), each ``(B, T, width)``, in the order asked for.

        ``ids`` are ``(B, T)``, ``mask`` too: 1 for sub-words and 0 for padding; ``None``: no padding.
        """
        inputs: dict[str, Any] = {"input_ids": ids, **self._fixed}
        if mask is not None:
            inputs["attention_mask"] = mask
        if self.blocks is None:
            with forward_errors():
                states = self.model(**inputs, output_hidden_states=True).hidden_states
            return [states[layer] for layer in layers]
        taken: dict[int, torch.Tensor] = {}
        deepest = max(layers)

        def hook_for(layer: int) -> Any:
            def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
                taken[layer] = arguments[0] if arguments else named["hidden_states"]
                if layer == deepest:
                    raise Reached

            return hook

        with self._lock:
            handles = [
                self.blocks[layer].register_forward_pre_hook(hook_for(layer), with_kwargs=True)
                for layer in sorted({*layers} - {self.layers})
            ]
            try:
                with contextlib.suppress(Reached):
                    with forward_errors():
                        output = self.model(**inputs)
                    taken[deepest] = output.last_hidden_state
            finally:
                for handle in handles:
                    handle.remove()
        return [taken[layer] for layer in layers]

    def _probe_ids(self) -> torch.Tensor:
        import torch

        device = next(self.model.parameters()).device
        return torch.arange(5, 13, device=device).remainder(int(getattr(self.config, "vocab_size", 13)))[None, :]

    def _probe(self) -> list[torch.Tensor]:
        """All states of a few tokens, as ``output_hidden_states=True`` gives them."""
        import torch

        kind, remedy = f"{type(self.model).__name__} ({self.config.model_type})", "Choose another model"
        ids = self._probe_ids()
        try:
            with torch.inference_mode():
                found = self.model(input_ids=ids, **self._fixed, output_hidden_states=True)
        except (ValueError, TypeError, RuntimeError) as error:
            told = f"{kind} does not run on token ids alone: {str(error).splitlines()[0]}"
            raise ModelError(told, remedy=remedy) from error
        states = getattr(found, "hidden_states", None)
        if not states:
            raise ModelError(f"{kind} gives out no hidden states", remedy=f"{remedy}, or read attention")
        if any(state.shape[:2] != ids.shape for state in states):
            told = f"{kind} does not keep one state for each token at every layer, so that words have no vectors"
            raise ModelError(told, remedy=remedy)
        return list(states)

    def _agrees(self, full: Sequence[torch.Tensor]) -> bool:
        """Whether what is captured equals ``full``, the states of a few tokens, layer by layer."""
        import torch

        ids, early = self._probe_ids(), 1 if len(full) > 2 else 0
        with torch.inference_mode():
            try:  # all in one pass, and one that ends early
                taken = [*self(ids, None, range(len(full))), *self(ids, None, [early])]
            except (KeyError, RuntimeError, AttributeError, TypeError, ModelError):
                return False
        return all(
            one.shape == state.shape and torch.allclose(one, state, rtol=1e-4, atol=1e-5)
            for one, state in zip(taken, [*full, full[early]], strict=True)
        )


class VectorModel(Loaded, ABC):
    """Sentences of words in, vectors of their tokens at chosen layers out.

    Attributes: those of :class:`~align_eval.models.loaded.Loaded` (layer 0 is the embeddings, layer ``k`` the output of
    block ``k``), and

    - ``window``: tokens that fit without the special ones.
    - ``prefix``, ``suffix``: ids of the special tokens around a sentence.
    - ``precision``: the quantised form that vectors are computed in, or ``None``.
    """

    window: int
    prefix: IdArray
    suffix: IdArray
    precision: str | None = None
    _states: HiddenStates

    def _read(self, states: HiddenStates, surroundings: tuple[IdArray, IdArray]) -> None:
        """Take the states of a stack, the special ids around a sentence, and the room between them."""
        self._states, self.layers = states, states.layers
        self.prefix, self.suffix = surroundings
        self.window = self.max_length - len(self.prefix) - len(self.suffix)

    @abstractmethod
    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        """The tokens of sentences of words, special ones left out, and the word each belongs to; see `Tokenized`.

        Raises:
            InputError: a sentence is a string instead of a sequence of words, or a word is no string.
        """

    def encode(
        self, ids: Sequence[IdArray], layers: Sequence[int], *, token_budget: int | None = None
    ) -> list[torch.Tensor]:
        """As :meth:`vectors`, a view ``(len(layers), tokens, width)`` for each sentence."""
        found = self.vectors(ids, layers, token_budget=token_budget)
        return [found[k] for k in range(len(ids))]

    def vectors(self, ids: Sequence[IdArray], layers: Sequence[int], *, token_budget: int | None = None) -> Vectors:
        """The vectors of sentences, on ``self.device`` and without those of the special tokens.

        Args:
            ids: token ids of each sentence without special ones (``Tokenized.ids``); those are added here.
            layers: 0 (embeddings) to ``self.layers``; negative ones count from the last.
            token_budget: tokens computed at one time, padding (where there is any) counted; ``None``: as many as
                the device takes (:func:`align_eval.models.batching.budget_of`). Without padding they are divided among
                torch's threads, down to 512 for each. It changes speed and memory, as the number of threads does; the
                vectors agree within the rounding of the products (below 1e-5 in float32).

        Raises:
            InputError: no such layer.
            SentenceTooLongError: a sentence has more than ``self.window`` tokens.
            NonFiniteError: the model returned NaN or infinity for a sentence.
        """
        import torch

        wanted = self._layers(layers)
        budget = budget_of(token_budget, self.device, self.hidden_size)
        same: dict[bytes, int] = {}
        which = np.zeros(len(ids), dtype=np.int64)  # each sentence's place among the different ones
        firsts: list[int] = []
        for k, sentence in enumerate(ids):
            if len(sentence) > self.window:
                raise SentenceTooLongError(
                    f"sentence {k + 1} has {len(sentence)} sub-words, the window of {self.name} is {self.window}",
                    remedy="Align it in overlapping windows (--on-long window) or split it",
                )
            key = np.asarray(sentence, dtype=np.int64).tobytes()
            which[k] = same.setdefault(key, len(same))
            if which[k] == len(firsts):
                firsts.append(k)
        sentences = [np.concatenate((self.prefix, ids[k], self.suffix)).astype(np.int64) for k in firsts]
        lengths = np.array([len(ids[k]) for k in firsts], dtype=np.int64)
        starts = np.zeros(len(firsts), dtype=np.int64)
        live = [k for k, sentence in enumerate(sentences) if len(sentence)]  # the others hold nothing to read
        values, flags, filled = None, [], 0
        for batch, states, rows, finite in self._batches([sentences[k] for k in live], wanted, budget):
            members = np.array(live, dtype=np.int64)[np.asarray(batch)]
            inner = lengths[members]
            ends = np.cumsum(inner)
            index = np.repeat(rows + len(self.prefix) - (ends - inner), inner) + np.arange(inner.sum())
            if values is None:
                shape = (len(wanted), int(lengths.sum()), states.shape[-1])
                values = torch.empty(shape, dtype=states.dtype, device=states.device)
            into = values[:, filled : filled + len(index)]
            with torch.inference_mode():
                into.copy_(states.index_select(1, torch.from_numpy(index).to(states.device)))
            starts[members] = filled + ends - inner
            filled += len(index)
            flags.append(finite)
        if values is None:
            values = torch.zeros((len(wanted), 0, self.hidden_size), dtype=self.dtype, device=self.device)
        found = Vectors(values, starts[which], lengths[which])
        if flags and not bool(torch.stack(flags).all()):
            for k in sorted(firsts, key=lambda k: int(found.starts[k])):
                bad = (~torch.isfinite(found[k])).any(dim=-1).any(dim=-1)
                if bool(bad.any()):
                    layer, text = layers[int(bad.nonzero()[0, 0])], self.tokenizer.decode(np.asarray(ids[k]).tolist())
                    raise NonFiniteError(
                        f"{self.name} returned NaN or infinity at layer {layer} for sentence {k + 1}: {text[:80]!r}",
                        remedy="Load the model with --dtype float32, or check its weights",
                    )
        return found

    def _batches(self, sentences: Sequence[IdArray], layers: Sequence[int], budget: int) -> Iterator[Batch]:
        """Sentences of like length together, padded to the longest of their batch."""
        import torch

        lengths = [len(sentence) for sentence in sentences]

        def compute(batch: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
            ids, mask = padded([sentences[k] for k in batch], self.pad)
            whole = lengths[batch[-1]] == lengths[batch[0]]
            with torch.inference_mode():
                seen = None if whole else torch.from_numpy(mask).to(self.device)
                states = self._states(torch.from_numpy(ids).to(self.device), seen, layers)
                hidden = torch.stack(states) if len(states) > 1 else states[0][None]  # (layers, B, T, width)
                return hidden.flatten(1, 2), all_finite(hidden)

        batches = buckets(lengths, budget, _BATCH_COST.get(self.device.type, _BATCH_COST_ELSEWHERE))
        for batch, (states, finite) in in_halves(batches, compute, lambda some: len(some) * lengths[some[0]]):
            yield batch, states, np.arange(len(batch), dtype=np.int64) * lengths[batch[0]], finite

    def _layers(self, layers: Sequence[int]) -> list[int]:
        wanted = [layer + self.layers + 1 if layer < 0 else layer for layer in layers]
        for given, layer in zip(layers, wanted, strict=True):
            if not 0 <= layer <= self.layers:
                raise InputError(
                    f"{self.name} has no layer {given}", remedy=f"Choose 0 (embeddings) to {self.layers} (last block)"
                )
        if not wanted:
            raise InputError("no layer is asked for", remedy=f"Choose from 0 to {self.layers}")
        return wanted


def all_finite(hidden: torch.Tensor) -> torch.Tensor:
    """Whether the sum of numbers is finite: never if one of them is not; one pass, where a look at each takes three."""
    import torch

    return torch.isfinite(hidden.sum(dtype=torch.promote_types(hidden.dtype, torch.float32)))


def vector_models(model: Any) -> tuple[VectorModel, VectorModel]:
    """What gives vectors of source sentences, and what gives those of target sentences, with the same weights.

    Args:
        model: of :func:`align_eval.models.load_model`: an encoder gives its own vectors, twice; an encoder-decoder
            model the states of its encoder, for each side with the tag of its language; a decoder-only one its states.

    Raises:
        InputError: no such model; a language that the model needs is not named.

    Warns:
        AlignEvalWarning: the encoder of a translation model of one direction was trained on source sentences alone.
            (A model that translates into both languages has read both.)
    """
    own = model if isinstance(model, VectorModel) else getattr(model, "encoder", None)
    if isinstance(own, VectorModel):  # an encoder, or one over concatenated pairs
        return own, own
    family = getattr(model, "family", None)
    if family == "decoder":
        both = DecoderStates(model)
        return both, both
    if family != "seq2seq":
        raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")
    languages = {model.source_language, model.target_language}
    if model.adapter.one_way and not languages <= set(model.codes):
        told = (
            f"{model.name} translates one way: its encoder was trained on source sentences alone, so that its states "
            "of target sentences may mean little; align by its attention (--attention), or take a model of both "
            "languages"
        )
        if model.codes and None in languages:
            told = (
                f"{model.name} translates into {len(model.codes)} languages: whether its encoder was trained on both "
                "sides is known once they are named (--source-language, --target-language)"
            )
        warnings.warn(told, AlignEvalWarning, stacklevel=2)
    stack = model.model.get_encoder()
    states = HiddenStates(stack, getattr(stack, "config", model.model.config))
    source = EncoderStates(model, states, "source")
    return source, EncoderStates(model, states, "target") if model.codes else source


class EncoderStates(VectorModel):
    """States of the encoder of an encoder-decoder model, told the language of ``side``; its weights are shared."""

    family = "seq2seq"

    def __init__(self, model: Seq2Seq, states: HiddenStates, side: str) -> None:
        self._share(model)
        self.reader, self.model = model, states.model
        self._read(states, model.encoder_surroundings(side))

    def tokenize(self, sentences: Sequence[Sequence[str]]) -> Tokenized:
        return self.reader.tokenize(sentences)

    @property
    def pad(self) -> int:
        return self.reader.pad


class DecoderStates(VectorModel):
    """States of a decoder-only model over single sentences, their words joined by spaces; its weights are shared.

    A state has read what stands before it alone. Where the tokenizer puts nothing in front of a sentence, the vector of
    its first token is that of a token without any context.
    """

    family = "decoder"

    def __init__(self, model: Decoder) -> None:
        self._share(model)
        states = HiddenStates(model.adapter.body(model.model))
        self.model = states.model
        self._read(states, surroundings(model.tokenizer))

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


def _filled(owners: IdArray) -> IdArray:
    """Tokens that stand in no word (a mark that a word begins, of no width) go to the word after them, or the last."""
    inside = np.flatnonzero(owners >= 0)
    following = np.minimum(np.searchsorted(inside, np.arange(len(owners))), len(inside) - 1)
    return owners[inside[following]]
