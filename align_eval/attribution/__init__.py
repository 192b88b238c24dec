"""What a model says of sentence pairs: attribution methods by name; all give batches of score matrices.

A method is a class that registers itself under its name; its options are the fields of a dataclass. Made with a model
of any family it is a :class:`~align_eval.models.pairs.PairModel` whose ``attention`` gives the method's scores in
place of attention weights, so that whatever takes attention takes every method:

    method = make_attribution("smoothgrad:samples=8", load_model("offline:tiny-deen"))
    matrices = attention_maps(method, pairs)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from align_eval.errors import InputError, ModelError
from align_eval.models.pairs import Layout, PairModel
from align_eval.registry import Registry, check_fields, options_of, parse_options, split_spec

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

ATTRIBUTIONS: Registry[Callable[..., PairModel]] = Registry("attribution method", "align_eval.attribution")


def make_attribution(spec: str, model: Any) -> PairModel:
    """A model with the scores of the attribution method that ``NAME`` or ``NAME:option=value,option=value`` asks for.

    Args:
        spec: the method's name and options, such as ``smoothgrad:samples=8``.
        model: of :func:`align_eval.models.load_model`.

    Raises:
        UnknownNameError: no such method or option; the message lists what exists.
        InputError: a value of the wrong kind or out of its range, an option given twice.
        ModelError: the model cannot be read by this method.
    """
    return ATTRIBUTIONS.get(split_spec(spec)[0])(model, **attribution_options(spec))


def attribution_options(spec: str) -> dict[str, Any]:
    """The options in a method's spec, with the errors of :func:`make_attribution`; needs no model."""
    name, tail = split_spec(spec)
    return parse_options(f"the attribution method {name}", tail, options_of(ATTRIBUTIONS.get(name)))


@ATTRIBUTIONS.register("attention")
def pair_model(model: Any) -> PairModel:
    """The attention weights of each head; rows sum to 1.

    It is the model itself; an :class:`Encoder` is given the form that runs a pair at once.

    Raises:
        InputError: it is no model of :func:`align_eval.models.load_model`.
    """
    from align_eval.models.encoder import Encoder, PairEncoder

    if isinstance(model, PairModel):
        return model
    if isinstance(model, Encoder):
        return PairEncoder(model)
    raise InputError(f"{type(model).__name__} is no model", remedy="Load one with align_eval.load_model")


@dataclass(eq=False, repr=False)
class Attribution(PairModel):
    """A model with the scores of an attribution method: encoding and forward pass are the model's, the scores its own.

    A subclass names itself with ``method="NAME"`` and is a dataclass; its fields are its options. ``reader`` is a model
    of :func:`align_eval.models.load_model`, of any family, whose weights are shared.
    """

    reader: Any
    method: ClassVar[str] = ""

    def __init_subclass__(cls, method: str = "") -> None:
        if method:
            cls.method = method
            ATTRIBUTIONS.register(method)(cls)

    def __post_init__(self) -> None:
        check_fields(self, f"the attribution method {self.method}")
        reader = self.reader = pair_model(self.reader)
        self._share(reader)
        self.family, self.readings, self.sites = reader.family, reader.readings, reader.sites
        self.heads = 1 if self.headless else reader.heads
        self.both_sides = reader.both_sides

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reader!r})"

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        return self.reader.lay_out(pairs)

    def forward(self, layouts: Sequence[Layout]) -> Any:
        return self.reader.forward(layouts)

    @abstractmethod
    def attention(self, layouts: Sequence[Layout], layers: Sequence[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        """Run a batch and give the number (1-based) and the scores ``(B, heads, queries, keys)`` of layer by layer.

        What stands in the padding has no meaning. ``layers``: from 1; ``None``: all. They come ascending, each once.

        Raises:
            ModelError: no such layer, or the model cannot be read by this method.
        """

    def wanted(self, layers: Sequence[int] | None) -> list[int]:
        """The layers asked for, ascending, each once; ``None``: all."""
        return self.require_layers(range(1, self.layers + 1) if layers is None else layers)

    def positions(self, layouts: Sequence[Layout], side: int) -> Tensor:
        """``(B, T)`` bool: where the input ``side`` (0 or -1) of each pair is, false in the padding."""
        lengths = [len(layout.inputs[side]) for layout in layouts]
        places = torch.arange(max(lengths), device=self.device)
        return places < torch.tensor(lengths, device=self.device)[:, None]


def not_this_model(why: str) -> ModelError:
    """The error of a model that an attribution method cannot be had of."""
    return ModelError(why, remedy="Choose another model, or another attribution method")
