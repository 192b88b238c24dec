"""Translation with a beam: any encoder-decoder model of the package, batches of like length, nothing cut in silence.

Tokens, language codes and prefixes are those of :class:`~align_eval.models.seq2seq.Seq2Seq`, so that a model translates
exactly what its attention is read over. The search itself is the one of ``transformers``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align_eval.corpora.pair import size_error
from align_eval.errors import InputError, ModelError, NonFiniteError, SentenceTooLongError
from align_eval.models.batching import buckets, budget_of, in_halves, padded
from align_eval.models.loaded import signature_of
from align_eval.models.loading_errors import quiet
from align_eval.models.tokens import IdArray

if TYPE_CHECKING:
    import torch

    from align_eval.models.seq2seq import Seq2Seq

LONG_RULES = {
    "raise": "fail",
    "window": "translate it in pieces, cut between words, and join their translations with a space",
    "leave": "leave its translation empty",
}
# A translation has at most FACTOR times as many sub-words as its source, and EXTRA more.
FACTOR, EXTRA = 3, 20


@dataclass(frozen=True)
class Decoding:
    """How translations are searched for.

    Attributes:
        beam: hypotheses kept at each step; 1 is greedy.
        max_length: sub-words of a translation, special ones counted; ``None``: three times those of its source and 20
            more. Never more than the model's window. It holds for each sentence by itself, whatever its batch.
        on_long: what is done with a source sentence that is longer than the model's window, see :data:`LONG_RULES`.
        token_budget: source sub-words in a batch, padding counted, over the beam: 5 beams take a fifth of the
            sentences; ``None``: what the device takes. It changes speed and memory only.

    Raises:
        InputError: a number below 1 or an unknown rule.
    """

    beam: int = 5
    max_length: int | None = None
    on_long: str = "raise"
    token_budget: int | None = None

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise InputError(f"a beam of {self.beam}", remedy="Give 1 (greedy) or more")
        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"max_length is {self.max_length}", remedy="Give a positive number of sub-words")
        if self.on_long not in LONG_RULES:
            raise InputError(f"on_long={self.on_long!r} is not known", remedy=f"Give one of {', '.join(LONG_RULES)}")


class Limits:
    """Ends each translation at its own greatest length, so that it does not depend on the others of its batch."""

    def __init__(self, limits: Sequence[int], beam: int, ends: Sequence[int], name: str) -> None:
        self.limits = np.repeat(np.asarray(limits), beam)
        self.ends, self.name = ends, name

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        if bool(torch.isnan(scores).any()):
            raise NonFiniteError(
                f"{self.name} gave NaN while translating", remedy="Load it with --dtype float32, or check its weights"
            )
        full = torch.from_numpy(self.limits <= input_ids.shape[1] + 1).to(scores.device)
        if bool(full.any()):
            scores = scores.masked_fill(full[:, None], -torch.inf)
            scores[full, self.ends[0]] = 0.0
        return scores


def decoder_prefix(model: Seq2Seq) -> list[int]:
    """What the decoder is given before the first sub-word: the start symbol, and the target language's code if any.

    M2M100, NLLB and mBART-50: start and code (the forced first sub-word); mBART: the code; Marian and T5: the start.
    """
    from align_eval.corpora import SentencePair

    (layout,) = model.lay_out([SentencePair("1", ("a",), ("a",))])
    inputs, _ = model.decoder_inputs([layout])
    (block,) = layout.blocks["awi"]
    first = int(np.flatnonzero(block.row_words >= 0)[0])
    return [int(token) for token in inputs[0, :first].tolist()]


def search_settings(model: Seq2Seq, decoding: Decoding, prefix: Sequence[int]) -> dict[str, Any]:
    """What is set in the generation configuration of a model, beside what its authors set.

    Early stopping ``never`` becomes ``False``, because it would make a sentence depend on the others of its batch.
    """
    given, config = model.model.generation_config, model.model.config
    own = (given.eos_token_id, getattr(config, "eos_token_id", None), model.tokenizer.eos_token_id)
    ends = next((end for end in (*own, model.tokenizer.sep_token_id) if end is not None), None)
    if ends is None:
        raise ModelError(
            f"{model.name} names no token that ends a sentence", remedy="Set eos_token_id in its generation_config.json"
        )
    return {
        "num_beams": decoding.beam, "do_sample": False, "num_return_sequences": 1,
        "length_penalty": 1.0 if given.length_penalty is None else float(given.length_penalty),
        "early_stopping": given.early_stopping is True, "pad_token_id": model.pad,
        "eos_token_id": list(ends) if isinstance(ends, (list, tuple)) else [int(ends)],
        "decoder_start_token_id": int(prefix[0]), "max_new_tokens": None, "use_cache": True,
        "return_dict_in_generate": False,
    }  # fmt: skip


_CLAUSE_END = re.compile(r"[.!?;:,…。！？；，、][\"'”’»)\]」』]*$")


@dataclass(frozen=True)
class Translation:
    """A translation of one sentence.

    Attributes:
        text: one line of text.
        subwords: sub-words that the model gave out, special ones left out.
        at_limit: the search was stopped at ``max_length``: the translation may be incomplete.
        pieces: pieces in which the source was translated; 0 if it is empty or was left out.
        left: the source is too long and was left out by ``on_long="leave"``.
    """

    text: str
    subwords: int = 0
    at_limit: bool = False
    pieces: int = 0
    left: bool = False


def load_translator(name: str, **options: Any) -> Seq2Seq:
    """Load an encoder-decoder model to translate with; name and options are those of ``load_model``.

    Raises:
        ModelError: the model is an encoder or a decoder-only model, or a masked language model that does not translate
            from left to right; and what ``load_model`` raises.
    """
    from align_eval.models import load_model
    from align_eval.models.families import describe_model

    try:
        model = load_model(name, family="seq2seq", **options)
    except ModelError:
        known = {key: options[key] for key in ("revision", "trust_remote_code") if options.get(key)}
        family = describe_model(name, **known).family
        if family == "seq2seq":
            raise
        raise not_a_translator(name, family) from None
    require_translator(model)
    return model


def not_a_translator(name: str, family: str) -> ModelError:
    """The error that says that a model of ``family`` does not translate."""
    kind = {"encoder": "an encoder, which gives out no text", "decoder": "a decoder-only model"}.get(family, family)
    return ModelError(
        f"{name} is {kind}; translate needs an encoder-decoder model",
        remedy="Name one such as offline:tiny-deen, Helsinki-NLP/opus-mt-de-en or a folder of Marian, M2M100, NLLB, "
        "mBART or T5",
    )


def require_translator(model: Any) -> None:
    """Check that ``model`` translates from left to right."""
    family = getattr(model, "family", "encoder")
    if family != "seq2seq":
        raise not_a_translator(str(getattr(model, "name", model)), family)
    config = model.model.config
    mode = getattr(config, "decoder_mode", None)
    unstated = mode is None and model.adapter.translates_without_mask and getattr(model.tokenizer, "mask_token", None)
    if mode == "masked" or unstated or "awi" not in model.readings:
        raise ModelError(
            f"{model.name} is a conditional masked language model: it fills masks and does not translate word by word",
            remedy="Name the model that was trained from left to right, such as offline:tiny-deen",
        )


class Translator:
    """An encoder-decoder model of :func:`load_translator` that translates sentences.

    Raises:
        ModelError: not an encoder-decoder model.
        InputError: a language code is missing or unknown (the message lists codes), or ``max_length`` exceeds the
            model's window.
    """

    def __init__(self, model: Seq2Seq, decoding: Decoding = Decoding()) -> None:
        require_translator(model)
        self.model = model
        self.decoding = decoding
        self.before, self.after = model.source_surroundings()
        self.prefix = decoder_prefix(model)
        self.room = model.max_length - len(self.before) - len(self.after)
        if decoding.max_length is not None and decoding.max_length > model.max_length:
            raise InputError(
                f"max_length {decoding.max_length} exceeds the window of {model.name}, {model.max_length} sub-words",
                remedy="Give less",
            )
        self._settings = search_settings(model, decoding, self.prefix)
        self._ends: list[int] = self._settings["eos_token_id"]

    def describe(self) -> dict[str, Any]:
        """What the translations depend on, for results: model, revision, number type, languages, search."""
        return {
            "revision": "",
            **signature_of(self.model),
            "source_language": self.model.source_language,
            "target_language": self.model.target_language,
            "beam": self.decoding.beam,
            "length_penalty": self._settings["length_penalty"],
            "max_length": self.decoding.max_length or f"{FACTOR}x source + {EXTRA}",
            "on_long": self.decoding.on_long,
        }

    def translate(
        self, texts: Sequence[str], ids: Sequence[str] | None = None, *, progress: Callable[[int], None] | None = None
    ) -> list[Translation]:
        """Translate sentences, in the order given.

        Args:
            texts: source sentences; words are what ASCII spaces separate.
            ids: their names, for messages; default: their numbers from 1.
            progress: called with the number of sentences done since the last call.

        Raises:
            SentenceTooLongError: a sentence does not fit the window and ``on_long`` is ``raise``, or a single word
                does not fit.
            NonFiniteError: the model gave NaN.
        """
        names = [str(k) for k in range(1, len(texts) + 1)] if ids is None else list(ids)
        cut, left = self._pieces(texts, names)
        places = [(k, number) for k, parts in enumerate(cut) for number in range(len(parts))]
        pieces = [cut[k][number] for k, number in places]
        found: list[list[tuple[str, int, bool]]] = [[("", 0, False)] * len(parts) for parts in cut]
        waiting = [len(parts) for parts in cut]
        if progress:
            progress(waiting.count(0))
        budget = budget_of(self.decoding.token_budget, self.model.device, self.model.hidden_size)
        sizes = [len(self.before) + len(piece) + len(self.after) for piece in pieces]
        batches = buckets(sizes, max(1, budget // self.decoding.beam), overhead=32) if pieces else []
        for members, done in in_halves(batches, lambda some: self._batch([pieces[p] for p in some])):
            for p, one in zip(members, done, strict=True):
                k, number = places[p]
                found[k][number] = one
                waiting[k] -= 1
            if progress:
                progress(sum(waiting[k] == 0 for k in {places[p][0] for p in members}))
        return [
            Translation(
                " ".join(text for text, _, _ in own if text), sum(size for _, size, _ in own),
                any(at_limit for _, _, at_limit in own), len(own), k in left,
            )
            for k, own in enumerate(found)
        ]  # fmt: skip

    def _pieces(self, texts: Sequence[str], names: Sequence[str]) -> tuple[list[list[IdArray]], set[int]]:
        """The sub-words to translate of each sentence, piece by piece, and the sentences left out for their length."""
        sentences = [[word for word in text.split(" ") if word] for text in texts]
        left: set[int] = set()
        for k, sentence in enumerate(sentences):
            error = size_error(f"source sentence {names[k]}", sentence)
            if error is not None:
                if self.decoding.on_long != "leave":
                    raise error
                left.add(k)
                sentences[k] = []
        tokens = self.model.tokenize(sentences)
        pieces: list[list[IdArray]] = []
        for k, (ids, words) in enumerate(zip(tokens.ids, tokens.words, strict=True)):
            if len(ids) <= self.room:
                pieces.append([ids] if len(ids) else [])
            elif self.decoding.on_long == "window":
                pieces.append(self._cut(sentences[k], ids, np.asarray(words), names[k]))
            elif self.decoding.on_long == "leave":
                left.add(k)
                pieces.append([])
            else:
                size = len(ids) + len(self.before) + len(self.after)
                raise SentenceTooLongError(
                    f"source sentence {names[k]} has {size} sub-words with the special ones, the window of "
                    f"{self.model.name} is {self.model.max_length}",
                    remedy="Let it be translated in pieces (--on-long window), left empty (--on-long leave), or split "
                    "it",
                )
        return pieces, left

    def _cut(self, sentence: Sequence[str], ids: IdArray, words: IdArray, name: str) -> list[IdArray]:
        """Consecutive pieces of whole words that fit, cut after the last clause end of their second half if any."""
        starts = np.flatnonzero(np.diff(words, prepend=-1))  # where a word's sub-words begin
        bounds = [*starts.tolist(), len(ids)]
        numbers = words[starts].tolist()
        out: list[IdArray] = []
        first = 0
        while first < len(numbers):
            last = first
            while last < len(numbers) and bounds[last + 1] - bounds[first] <= self.room:
                last += 1
            if last == first:
                raise SentenceTooLongError(
                    f"a word of source sentence {name} alone has {bounds[first + 1] - bounds[first]} sub-words, the "
                    f"window of {self.model.name} has room for {self.room}",
                    remedy="Leave the sentence out (--on-long leave)",
                )
            if last < len(numbers):
                half = (first + last + 1) // 2
                ends = [w for w in range(half, last) if _CLAUSE_END.search(sentence[numbers[w]])]
                last = ends[-1] + 1 if ends else last
            out.append(ids[bounds[first] : bounds[last]])
            first = last
        return out

    def _batch(self, pieces: Sequence[IdArray]) -> list[tuple[str, int, bool]]:
        """Text, sub-words and whether the limit was met, of each piece of a batch."""
        import torch

        if torch.get_default_dtype() != torch.float32:  # transformers makes its beams in the default type
            raise InputError(
                f"translating needs torch's default number type, which was set to {torch.get_default_dtype()}",
                remedy="Call torch.set_default_dtype(torch.float32) before; the model's own type stays",
            )
        model = self.model.model
        ids, mask = padded([np.concatenate([self.before, piece, self.after]) for piece in pieces], self.model.pad)
        limits = [self._limit(int(size)) for size in mask.sum(axis=1)]
        config = copy.deepcopy(model.generation_config)
        for name, value in {**self._settings, "max_length": max(limits)}.items():
            setattr(config, name, value)
        with quiet(), torch.no_grad():
            given = model.generate(
                input_ids=torch.from_numpy(ids).to(self.model.device),
                attention_mask=torch.from_numpy(mask).to(self.model.device),
                decoder_input_ids=torch.tensor([self.prefix] * len(pieces), device=self.model.device),
                generation_config=config,
                logits_processor=[Limits(limits, self.decoding.beam, self._ends, self.model.name)],
            )
        out = []
        for row, limit in zip(given.cpu().tolist(), limits, strict=True):
            body = row[len(self.prefix) :]
            end = next((k for k, token in enumerate(body) if token in self._ends), len(body))
            at_limit = len(self.prefix) + end + 1 >= limit
            text = self.model.tokenizer.decode(body[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            out.append((" ".join(re.split(r"[\r\n]+", text)).strip(), end, at_limit))
        return out

    def _limit(self, source: int) -> int:
        """Sub-words of a translation, special ones counted, for those of its source."""
        wanted = self.decoding.max_length or int(FACTOR * source) + EXTRA
        return max(min(wanted, self.model.max_length), len(self.prefix) + 1)
