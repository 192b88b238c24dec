"""The base of signals that are read in a forward pass: a model that hands on other maps than its attention weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from align_eval.models.pairs import Layout, PairModel
from align_eval.signals.attention import pair_model

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair
    from align_eval.models.attention import Take


class SignalReader(PairModel):
    """A model seen through a signal: layouts and forward pass are the model's, :meth:`attend` is the signal's.

    ``limits`` says what an option of the signal may be, as arguments of :class:`align_eval.options.Option`.

    Args:
        model: of :func:`align_eval.models.load_model`, of any family; its weights are shared.

    Raises:
        InputError: it is no such model.
    """

    limits: ClassVar[dict[str, dict[str, Any]]] = {"token_budget": {"low": 1}}

    def __init__(self, model: Any) -> None:
        reader = pair_model(model)
        self.reader = reader
        self.name, self.family = reader.name, reader.family
        self.layers, self.heads, self.readings = reader.layers, reader.heads, reader.readings
        self.model, self.tokenizer, self.sites = reader.model, reader.tokenizer, reader.sites
        self.device, self.dtype = reader.device, reader.dtype
        self.both_sides = reader.both_sides
        if self.headless:
            self.heads = 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reader!r})"

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        return self.reader.lay_out(pairs)

    def forward(self, layouts: Sequence[Layout]) -> Any:
        return self.reader.forward(layouts)

    @abstractmethod
    def attend(self, layouts: Sequence[Layout], layers: Sequence[int], take: Take) -> None:
        """Run a batch, and hand the maps ``(B, heads, queries, keys)`` of ``layers`` (1-based) to ``take``, ascending.

        What ``take`` gets in the padding has no meaning.

        Raises:
            ModelError: no such layer, or the model cannot be read by this signal.
        """
