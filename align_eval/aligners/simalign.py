"""The ``simalign`` package as an aligner of its own: one pair at a time, as its authors published it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from align_eval.aligners import ALIGNERS, Aligner, AlignerSettings, System, describe_encoder
from align_eval.corpora import SentencePair
from align_eval.corpora.pair import check_sizes
from align_eval.errors import InputError, ModelError, NonFiniteError, SentenceTooLongError, UnknownNameError
from align_eval.links import Links
from align_eval.registry import split_spec

# Our names, the letters and the keys of the package (SentenceAligner.matching_methods).
LETTERS = {"argmax": "a", "itermax": "i", "match": "m", "forward": "f", "reverse": "r"}
KEYS = {"argmax": "inter", "itermax": "itermax", "match": "mwmf", "forward": "fwd", "reverse": "rev"}
TOKEN_TYPES = {"any": "bpe", "mean": "word"}


@ALIGNERS.register("simalign")
class SimAlign(Aligner):
    """Jalili Sabet et al. 2020 by their own code (``simalign:argmax``, ``:itermax``, ``:match``, ``:forward``, ...).

    It gives no link scores and computes in float32. Sentences over the model's window raise: the package would cut
    them without a word.
    """

    def __init__(self, settings: AlignerSettings) -> None:
        from simalign import SentenceAligner

        from align_eval.aligners.similarity import chosen_layers
        from align_eval.models.loading_errors import quiet

        self.names = list(dict.fromkeys(split_spec(method)[1] or "itermax" for method in settings.methods))
        for name in self.names:
            if name not in LETTERS:
                raise UnknownNameError("method of simalign", name, LETTERS)
        self.encoder = settings.loaded()
        if self.encoder.family != "encoder":
            raise ModelError(
                f"the simalign package takes encoders; {self.encoder.name} is of the family {self.encoder.family}",
                remedy="Use the method without simalign: in front, which aligns by models of every family",
            )
        self.layers = chosen_layers(self.encoder, settings.layers)
        if str(self.encoder.dtype) != "torch.float32" or self.encoder.precision is not None:
            raise InputError("simalign computes in float32 only", remedy="Leave out dtype and precision")
        self.settings = settings
        self.systems = [System(f"simalign:{name}", layer) for layer in self.layers for name in self.names]
        source = str(self.encoder.path or self.encoder.name)
        logging.getLogger("simalign.simalign").setLevel(logging.WARNING)  # it would announce the model
        with quiet():
            self._aligner: Any = SentenceAligner(
                model=source,
                token_type=TOKEN_TYPES[settings.subword],
                matching_methods="".join(LETTERS[name] for name in self.names),
                device=str(self.encoder.device),
                layer=self.layers[0],
            )
        self._aligner.embed_loader.emb_model.float()

    def describe(self) -> dict[str, str]:
        return {**describe_encoder(self.encoder, self.settings), "long": "raise"}

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        out: dict[System, list[Links]] = {system: [] for system in self.systems}
        check_sizes(pairs)
        tokens = self.encoder.tokenize([side for pair in pairs for side in (pair.source, pair.target)])
        sizes = [len(ids) for ids in tokens.ids]
        for k, pair in enumerate(pairs):
            if max(sizes[2 * k], sizes[2 * k + 1]) > self.encoder.window:
                raise SentenceTooLongError(
                    f"a sentence of pair {pair.id} has {max(sizes[2 * k], sizes[2 * k + 1])} sub-words, the model's "
                    f"window is {self.encoder.window}",
                    remedy="Use the method without simalign: in front, which aligns in overlapping windows",
                )
            empty = not sizes[2 * k] or not sizes[2 * k + 1]
            silent = max(len(tokens.silent_words(2 * k)), len(tokens.silent_words(2 * k + 1)))
            if silent and not empty and self.settings.subword == "mean":
                raise InputError(
                    f"a word of pair {pair.id} has no sub-word, so that simalign has no mean vector for it",
                    remedy="Use the sub-word rule any, or the method without simalign: in front",
                )
            for layer in self.layers:
                self._aligner.embed_loader.layer = layer
                links = {} if empty else self._links(pair)
                for name in self.names:
                    out[System(f"simalign:{name}", layer)].append(Links(links.get(KEYS[name], ())))
        return out

    def _links(self, pair: SentencePair) -> dict[str, list[tuple[int, int]]]:
        try:
            links: dict[str, list[tuple[int, int]]] = self._aligner.get_word_aligns(
                list(pair.source), list(pair.target)
            )
        except ValueError as error:  # scikit-learn refuses NaN and infinity
            raise NonFiniteError(
                f"simalign cannot align pair {pair.id}: {error}", remedy="Take another layer, or check the model"
            ) from error
        return links
