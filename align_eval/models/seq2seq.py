"""An encoder-decoder model: teacher forcing of a given translation, and its cross-attention.

The decoder reads the target one step late: row ``r`` of the cross-attention has the sub-word before ``y_r`` as its
input and gives out ``y_r``. Two readings of the same rows (Chen et al. 2020, Shift-Att, arXiv:2004.14837): **AWO**,
alignment when the word is output: row ``r`` belongs to ``y_r``; **AWI**, when the word is input: row ``r + 1`` does.

End of sentence, language codes and the start symbol are rows and columns of the maps but belong to no word. Since the
end of the sentence is output last, the row after the last sub-word always exists, so that no word is lost with AWI.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from align_eval.corpora.pair import check_sizes
from align_eval.errors import InputError, ModelError
from align_eval.models.attention import attention_sites
from align_eval.models.batching import padded
from align_eval.models.loading_errors import forward_errors
from align_eval.models.pairs import Block, Layout, PairModel, specials
from align_eval.models.tokens import IdArray, Segmenter, Tokenized, readable, resolve_code, surroundings

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


class Seq2Seq(PairModel):
    """Marian, M2M100, NLLB, mBART, BART, T5, mT5. Made by :func:`align_eval.models.load_model`.

    Args:
        source_language, target_language: codes of the tokenizer, or what they begin with; needed by models of
            several languages. A model of one direction takes none.
        source_prefix: text in front of each source sentence (T5: ``"translate English to German:"``); its sub-words
            belong to no word. ``None``: the one that a T5 configuration gives for the two languages, else none.

    Raises:
        ModelError: no cross-attention is found, or the tokenizer keeps no word boundaries.
        InputError: a language code that the tokenizer does not have.
    """

    family = "seq2seq"
    readings: tuple[str, ...] = ("awo", "awi")

    def __init__(
        self, name: str, model: Any, tokenizer: Any, *, source_language: str | None = None,
        target_language: str | None = None, source_prefix: str | None = None, **known: Any,
    ) -> None:  # fmt: skip
        self._take(name, model, tokenizer, **known)
        self.sites = attention_sites(model, "cross", name)
        self.layers = len(self.sites)
        decoder, encoder = model.get_decoder(), model.get_encoder()
        config = getattr(decoder, "config", model.config)
        self.heads = self.adapter.heads(self.sites[0], config)
        self.hidden_size = int(getattr(config, "d_model", None) or config.hidden_size)
        self.max_length = self.adapter.max_length(tokenizer, model, decoder, encoder)
        self.codes = self.adapter.language_codes(tokenizer)
        self._source = Segmenter(tokenizer, self.adapter, name=name)
        self._target = Segmenter(tokenizer, self.adapter, target=True, name=name)
        self._asked_prefix = source_prefix
        self._set_languages(source_language, target_language)

    def with_languages(self, source: str | None, target: str | None, *, source_prefix: str | None = None) -> Seq2Seq:
        """The same weights for another pair of languages; a code must be one of the tokenizer's."""
        other = copy.copy(self)
        other._asked_prefix = source_prefix
        other._set_languages(source, target)
        return other

    def in_languages(self, source: str | None, target: str | None) -> Seq2Seq:
        named = (self.source_language or source, self.target_language or target)
        return self.with_languages(*named, source_prefix=self._asked_prefix)

    def _set_languages(self, source: str | None, target: str | None) -> None:
        """Check the codes that are named; what is missing is asked for when sentences come."""
        self.source_language, self.target_language = source, target
        fixed = getattr(self.tokenizer, "target_lang", None)
        if not self.codes:
            if target and fixed and target.split("_")[0] != str(fixed).split("_")[0]:
                raise InputError(
                    f"{self.name} translates into {fixed}, not {target}",
                    remedy=f"Leave out the target language, or load a model for {target}",
                )
            return
        if target:
            self.target_language = resolve_code(self.codes, target, "target", self.name)
        if source and not self.adapter.tagged_source:
            self.source_language = resolve_code(self.codes, source, "source", self.name)

    def source_surroundings(self) -> tuple[IdArray, IdArray]:
        """The special ids before and after a source sentence: language codes, the task prefix, end of sentence."""
        before, after = self._encoder_side("source")
        if self.codes and self.adapter.tagged_source:
            code = resolve_code(self.codes, self.target_language, "target", self.name)
            tag = int(self.tokenizer.encoder[self.codes[code]])
            before = np.concatenate([[tag], before]).astype(np.int64)
        return self._with_text(before, self._prefix_text()), after

    def encoder_surroundings(self, side: str) -> tuple[IdArray, IdArray]:
        """The special ids before and after a sentence of ``side`` that the encoder reads for its states alone.

        Those of a source sentence in the language of that side. No task is named: the prefix of a T5 is there only if
        it was asked for, and the tag of a Marian model of several targets not at all.
        """
        before, after = self._encoder_side(side)
        return self._with_text(before, self._asked_prefix), after

    def _with_text(self, before: IdArray, text: str | None) -> IdArray:
        return np.concatenate([before, self._source([text.split()]).ids[0]]) if text else before

    def _encoder_side(self, side: str) -> tuple[IdArray, IdArray]:
        if self.codes and not self.adapter.tagged_source:
            language = self.source_language if side == "source" else self.target_language
            self.tokenizer.src_lang = resolve_code(self.codes, language, side, self.name)
        return surroundings(self.tokenizer)

    def target_surroundings(self) -> tuple[IdArray, IdArray]:
        """The special ids before and after a target sentence, as the model is taught to give them out."""
        if not self.codes or self.adapter.tagged_source:
            return surroundings(self.tokenizer)
        code = resolve_code(self.codes, self.target_language, "target", self.name)
        before = self.tokenizer.src_lang
        self.tokenizer.set_tgt_lang_special_tokens(code)
        try:
            return surroundings(self.tokenizer)
        finally:
            self.tokenizer.src_lang = before

    def _prefix_text(self) -> str:
        if self._asked_prefix is not None:
            return self._asked_prefix
        tasks = getattr(self.model.config, "task_specific_params", None) or {}
        task = tasks.get(f"translation_{self.source_language}_to_{self.target_language}") or {}
        return str(task.get("prefix", ""))

    def tokenize(self, sentences: Sequence[Sequence[str]], *, target: bool = False) -> Tokenized:
        """The sub-words of sentences of words, special ones left out; see :class:`Tokenized`."""
        return (self._target if target else self._source)(sentences)

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        """See :class:`PairModel`. ``inputs`` are the encoder's ids and the labels (what the decoder gives out)."""
        check_sizes(pairs)
        sources = self.tokenize([pair.source for pair in pairs])
        targets = self.tokenize([pair.target for pair in pairs], target=True)
        s_before, s_after = self.source_surroundings()
        t_before, t_after = self.target_surroundings()
        around = np.concatenate([t_before, [0], t_after]).astype(np.int64)[None, :]
        (start,) = readable(self.tokenizer, self._shift(around)[0, :1].tolist(), target=True)
        out = []
        for k, pair in enumerate(pairs):
            ids = np.concatenate([s_before, sources.ids[k], s_after])
            labels = np.concatenate([t_before, targets.ids[k], t_after])
            for side, given in (("source", ids), ("target", labels)):
                what = f"the {side} sentence of pair {pair.id} has {len(given)} sub-words with the special ones"
                self.require_length(len(given), what, "Split the sentence or leave it out")
            columns = np.concatenate([specials(len(s_before)), sources.words[k], specials(len(s_after))])
            words = np.concatenate([specials(len(t_before)), targets.words[k], specials(len(t_after))])
            out.append(Layout(pair, (ids, labels), self._blocks(ids, labels, columns, words, start)))
        return out

    def _blocks(
        self, ids: IdArray, labels: IdArray, columns: IdArray, words: IdArray, start: str
    ) -> dict[str, tuple[Block, ...]]:
        """AWO: row r belongs to what it gives out. AWI: to its input, which is what row r - 1 gave out."""
        rows = np.arange(len(labels), dtype=np.int64)
        sources = readable(self.tokenizer, ids)
        given_out = readable(self.tokenizer, labels, target=True)
        awo = Block("target", rows, words, given_out, columns, sources)
        before = np.concatenate([specials(1), words[:-1]])
        awi = Block("target", rows, before, (start, *given_out[:-1]), columns, sources)
        return {"awo": (awo,), "awi": (awi,)}

    @property
    def pad(self) -> int:
        pad = getattr(self.model.config, "pad_token_id", None)
        pad = self.tokenizer.pad_token_id if pad is None else pad
        return 0 if pad is None else int(pad)

    def _shift(self, labels: IdArray) -> torch.Tensor:
        """The decoder's input for ``labels`` ``(B, T)``, moved right by the model's own function."""
        return self.adapter.shifted(self.model, torch.from_numpy(labels).to(self.device), self.pad, self.name)

    def decoder_inputs(self, layouts: Sequence[Layout]) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's input ids and mask, ``(B, T)`` each, for a batch.

        A model that does not shift by one to the right, so that AWI would not be the row after AWO, is refused.
        """
        labels, mask = padded([layout.inputs[1] for layout in layouts], self.pad)
        inputs = self._shift(labels)
        moved = inputs[:, 1:].cpu().numpy() == labels[:, :-1]
        if not bool((moved | (mask[:, 1:] == 0)).all()):
            raise ModelError(
                f"{self.name} does not move its targets right by one", remedy="Its rows cannot be read by AWO and AWI"
            )
        return inputs, torch.from_numpy(mask).to(self.device)

    @forward_errors()
    def forward(self, layouts: Sequence[Layout]) -> Any:
        inputs, mask = self.decoder_inputs(layouts)
        given = {"decoder_input_ids": inputs, "decoder_attention_mask": mask}
        return self.model(**self.batch(layouts), **given, use_cache=False)
