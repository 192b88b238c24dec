"""Sentence pairs in, links out: what an aligner is, and which one a method's name asks for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from align_eval.errors import InputError
from align_eval.registry import Registry

if TYPE_CHECKING:
    from align_eval.aligners.heads import AttentionSettings
    from align_eval.corpora import SentencePair
    from align_eval.links import Links

SUBWORD_RULES = ("any", "mean")
LONG_RULES = ("window", "raise", "leave")
# The model that the refiners of the package were trained for.
REFINED_ENCODER = "offline:e5-small"
LONE_RULES = ("cjk", "drop", "keep")


@dataclass(frozen=True)
class System:
    """One way to align: a method at a layer or an attention head of a model."""

    #: The extraction method's spec, such as ``argmax`` or ``softmax:threshold=0.01``.
    method: str
    #: 0 is the embeddings, k the output of block k; ``None`` where the method has no layer.
    layer: int | None = None
    #: The attention head, such as ``L6H1``, and its alignment mode; empty: none.
    head: str = ""
    mode: str = ""
    #: How both directions are combined, such as ``grow-diag/both``; empty: they are not.
    sym: str = ""

    def __str__(self) -> str:
        if self.head:
            return " ".join(filter(None, (self.method, self.head, self.mode, self.sym)))
        return self.method if self.layer is None else f"{self.method} layer {self.layer}"


@dataclass(frozen=True)
class AlignerSettings:
    """What every aligner is made from."""

    #: A model of :func:`align_eval.models.load_model`, of any family, its name, or ``None``.
    model: Any = None
    #: Specs of extraction methods.
    methods: tuple[str, ...] = ("argmax",)
    #: Layers to take; empty: the model's default layer.
    layers: tuple[int, ...] = ()
    #: ``any`` (words are linked if any of their tokens are) or ``mean`` (mean vector of a word).
    subword: str = "any"
    #: What is done with sentences longer than the model's window: ``window`` (overlapping windows), ``raise``, or
    #: ``leave`` (the pair has no links, and is counted).
    on_long: str = "window"
    #: Tokens that the model computes at one time, padding counted; ``None``: what the device takes.
    token_budget: int | None = None
    #: For the loading of the model (``device``, ``dtype``, ``precision``, ``revision``, ``trust_remote_code``).
    options: dict[str, Any] = field(default_factory=dict)
    #: Links come from an attention head; ``None``: from the similarity of hidden states.
    attention: AttentionSettings | None = None
    #: Language codes of the sentences, for models that need them.
    source_language: str | None = None
    target_language: str | None = None
    #: What is done with a lone mark of a word's start: see :func:`align_eval.models.tokens.without_lone_marks`.
    #: ``None``: ``cjk``, and for ``refined`` as in its training.
    lone_marks: str | None = None

    def __post_init__(self) -> None:
        given = [("subword", self.subword, SUBWORD_RULES), ("on_long", self.on_long, LONG_RULES)]
        if self.lone_marks is not None:
            given.append(("lone_marks", self.lone_marks, LONE_RULES))
        for name, value, known in given:
            if value not in known:
                raise InputError(f"{name}={value!r} is not known", remedy=f"Give one of {', '.join(known)}")

    def loaded(self) -> Any:
        """The model, loaded if it is a name."""
        from align_eval.models import load_model

        return load_model(self.model, **self.options) if isinstance(self.model, str) else self.model


class Aligner(ABC):
    """Aligns batches of sentence pairs in one or several ways at once."""

    #: The ways.
    systems: list[System]
    #: The pairs handed over together decide the links (they are trained on): all must come at once.
    whole_corpus: bool = False
    #: The settings' model is used.
    needs_model: bool = True

    _long: Counter[str] | None = None

    def take_long(self) -> Counter[str]:
        """How many pairs over the model's window were ``windowed`` or ``left_out`` since this was last asked."""
        found, self._long = self._long or Counter(), None
        return found

    def count_long(self, kind: str, pairs: int = 1) -> None:
        """Count pairs for :meth:`take_long`."""
        self._long = self._long or Counter()
        self._long[kind] += pairs

    @abstractmethod
    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        """Align ``pairs`` in every way of ``systems``: one :class:`Links` a pair, in order, with scores.

        A pair with an empty side has none.

        Raises:
            SentenceTooLongError: a sentence exceeds the model's window and windows were not asked for.
            NonFiniteError: the model gave NaN or infinity.
        """

    def ready(self, pairs: list[SentencePair]) -> list[SentencePair]:
        """The same pairs for :meth:`align_all`, with what can be done on a thread beside its work on others.

        The links do not depend on it.
        """
        return pairs

    def signature(self, system: System) -> dict[str, str]:
        """What makes a link of this aligner citable, by the keys of a :class:`align_eval.scoring.Signature`."""
        out = self.describe()
        if system.layer is not None:
            out["layer"] = str(system.layer)
        name, _, tail = system.method.partition(":")
        if "=" in tail:
            return {**out, "method": name, "params": tail}
        return {**out, "method": system.method}

    def describe(self) -> dict[str, str]:
        """The part of the signature that all systems share."""
        return {}


def describe_encoder(encoder: Any, settings: AlignerSettings) -> dict[str, str]:
    """The signature's part of the similarity of hidden states: the model, signal, subword rule."""
    from align_eval.models.loaded import signature_of

    return {**signature_of(encoder), "signal": "similarity", "subword": settings.subword, "long": settings.on_long}


ALIGNERS: Registry[Any] = Registry("aligner", "align_eval.aligners")


def make_aligner(settings: AlignerSettings) -> Aligner:
    """Build the aligner that ``settings.methods`` ask for.

    A method is ``NAME`` or ``NAME:options``; a name that is an aligner's (``simalign``) goes to that aligner, every
    other is an extraction method over a model's similarity, or over its attention where ``settings.attention`` asks for
    that.

    Raises:
        UnknownNameError: no such method.
        InputError: no method, methods of several aligners at once, or of one that takes no attention.
    """
    if not settings.methods:
        raise InputError("no method is asked for", remedy="Name one, such as argmax")
    if settings.attention is not None:
        from align_eval.aligners.attention import AttentionAligner

        return AttentionAligner(settings)
    owners: dict[str, list[str]] = {}
    for name, method in zip(_names(settings.methods), settings.methods, strict=True):
        owners.setdefault(name if name in ALIGNERS else "similarity", []).append(method)
    if len(owners) == 1:
        return _made(next(iter(owners)), settings)
    if not owners.keys() <= {"similarity", "refined"}:
        raise InputError(
            f"the methods {', '.join(settings.methods)} belong to different aligners",
            remedy="Run them one after the other",
        )
    shared = replace(settings, model=settings.loaded())
    apart = {
        owner: replace(shared, methods=tuple(methods), layers=shared.layers if owner == "similarity" else ())
        for owner, methods in owners.items()
    }
    return _Together([_made(owner, own) for owner, own in apart.items()])


def _made(owner: str, settings: AlignerSettings) -> Aligner:
    aligner: Aligner = ALIGNERS.get(owner)(settings)
    return aligner


class _Together(Aligner):
    """Several aligners of one model, one after the other."""

    def __init__(self, aligners: list[Aligner]) -> None:
        self.aligners = aligners
        self._owner = {system: aligner for aligner in aligners for system in aligner.systems}
        self.systems = list(self._owner)

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        found: dict[System, list[Links]] = {}
        for aligner in self.aligners:
            found |= aligner.align_all(pairs)
        return found

    def take_long(self) -> Counter[str]:
        counted = [aligner.take_long() for aligner in self.aligners]  # of the same pairs
        return counted[0]

    def signature(self, system: System) -> dict[str, str]:
        return self._owner[system].signature(system)


def default_method(
    model: Any,
    *,
    layers: Sequence[int] = (),
    subword: str = "any",
    lone_marks: str | None = None,
    attention: Any = None,
) -> str:
    """The method where none is named: ``refined`` for the encoder that the package ships refiners for.

    ``argmax`` for other models and where layers, a rule for subwords or for lone marks are asked for; ``reverse`` for
    attention. ``model``: loaded, or its name.
    """
    if attention is not None:
        return "reverse"
    name = model if isinstance(model, str) else getattr(model, "name", "")
    plain = not layers and subword == "any" and lone_marks is None
    return "refined" if name == REFINED_ENCODER and plain else "argmax"


def needs_model(methods: Sequence[str]) -> bool:
    """Whether one of the methods works on a model."""
    return any(name not in ALIGNERS or bool(ALIGNERS.get(name).needs_model) for name in _names(methods))


def _names(methods: Sequence[str]) -> list[str]:
    return [method.partition(":")[0] for method in methods]
