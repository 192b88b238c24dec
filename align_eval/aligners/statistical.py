"""Statistical word aligners, trained without gold on the very text that they align, by the package ``sil-thot``.

``fast_align`` (Dyer, Chahuneau & Smith 2013), ``eflomal`` (Östling & Tiedemann 2016), ``ibm1`` to ``ibm4`` (Brown et
al. 1993; IBM 4 without word classes) and ``hmm`` (Vogel, Ney & Tillmann 1996). Each direction is trained on its own and
both are symmetrised. The same text, options and seed give the same links in every process and with any number of
threads.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from align_eval.aligners import ALIGNERS, Aligner, AlignerSettings, System
from align_eval.corpora import Corpus, SentencePair, read_bitext
from align_eval.corpora.pair import check_sizes, pair_size_error
from align_eval.errors import AlignEvalWarning, InputError, SentenceTooLongError, UnknownNameError
from align_eval.files import sha256_of
from align_eval.links import Links
from align_eval.links.symmetrization import METHODS, RULES, symmetrize_table
from align_eval.links.table import LinkTable
from align_eval.registry import check_fields, option, options_of, parse_options, split_spec

#: What ``sym`` may be: a way to combine both directions, or one direction alone.
SYMMETRIES = (*METHODS, "forward", "reverse")


class Directions(NamedTuple):
    """Both directions of an alignment, one row of links a sentence pair, 0-based, source index first in both.

    Forward: every target word has at most one link (the source generates the target); reverse: every source word.
    """

    forward: LinkTable
    reverse: LinkTable


@dataclasses.dataclass(frozen=True)
class StatisticalOptions:
    """Options that all statistical aligners have."""

    #: How both directions become one (:mod:`align_eval.links.symmetrization`), or ``forward`` or ``reverse`` alone.
    sym: str = "grow-diag-final-and"
    #: ``either`` (atools of fast_align, which its authors and eflomal's use) or ``both``.
    rule: str = "either"
    #: Whether words that differ in case only count as one word in training.
    lowercase: bool = True
    #: Files of more training text, any that :func:`align_eval.corpora.read_bitext` reads; trained on before the text to
    #: align, their links thrown away. In a method's text ``train=A,train=B``.
    train: tuple[str, ...] = option((), many="again", kind=str, example="FILE")
    #: ``st``, or ``ts`` if the files hold the target first.
    train_order: str = "st"
    #: A tokeniser's name for the files; empty: their words are what single spaces separate.
    train_tokenize: str = ""

    def __post_init__(self) -> None:
        for kind, value, known in (
            ("symmetrisation method", self.sym, SYMMETRIES),
            ("symmetrisation rule", self.rule, RULES),
            ("side order", self.train_order, ("st", "ts")),
        ):
            if value not in known:
                raise UnknownNameError(kind, value, known)
        check_fields(self, f"the method {_NAMES.get(type(self), type(self).__name__)}")

    def changed(self) -> list[tuple[str, Any]]:
        """Names and values of the options that differ from their defaults, one entry a training file."""
        out: list[tuple[str, Any]] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                values = value if isinstance(value, tuple) else (str(value).lower() if value is False else value,)
                out += [(field.name, v) for v in values]
        return out

    def texts(self) -> list[Corpus]:
        """The files of ``train``, to be read."""
        tokenize = self.train_tokenize or None
        return [read_bitext(name, order=self.train_order, tokenize=tokenize) for name in self.train]


@dataclasses.dataclass(frozen=True)
class EflomalOptions(StatisticalOptions):
    """Options of eflomal; those of its own have the defaults of its authors."""

    #: 1 (IBM 1), 2 (HMM) or 3 (HMM with fertility); each starts from the ones below it.
    model: int = option(3, low=1, high=3)
    #: Prior probability that a word is linked with nothing.
    null: float = option(0.2, low=0, high=1)
    #: Number of sampling iterations relative to the authors' choice (5000 / sqrt(sentences)).
    length: float = option(1.0, low=0.001, high=1000)
    #: Independent samplers whose marginals are averaged, and their seed.
    samplers: int = option(3, low=1, high=1000)
    seed: int = option(1, low=0, high=2**31 - 1)


@dataclasses.dataclass(frozen=True)
class FastAlignOptions(StatisticalOptions):
    """Options of fast_align; the tension of the diagonal is learned."""

    sym: str = "grow-diag"
    #: Of EM.
    iterations: int = option(5, low=1, high=1000)
    #: Dirichlet prior on the lexical probabilities, by variational Bayes.
    bayes: bool = True
    #: Probability that a word is linked with nothing.
    null: float = option(0.08, low=1e-6, high=1 - 1e-6)


@dataclasses.dataclass(frozen=True)
class IbmOptions(StatisticalOptions):
    """Options of the IBM models and the HMM."""

    #: Of EM in each model; IBM 2 and the HMM start from IBM 1, IBM 3 from the HMM, IBM 4 from IBM 3.
    iterations: int = option(5, low=1, high=1000)


_NAMES = {EflomalOptions: "eflomal", FastAlignOptions: "fast_align", IbmOptions: "ibm"}
_CHAINS = {
    "ibm1": ("Ibm1",),
    "ibm2": ("Ibm1", "Ibm2"),
    "hmm": ("Ibm1", "Hmm"),
    "ibm3": ("Ibm1", "Hmm", "Ibm3"),
    "ibm4": ("Ibm1", "Hmm", "Ibm3", "Ibm4"),
}


class StatisticalAligner(Aligner):
    """Methods ``NAME`` or ``NAME:option=value,...``, trained on the text that is aligned and on ``train`` files.

    All pairs must come in one call: they are the training text. Methods that differ in the symmetrisation alone share
    one training. Links have no scores.
    """

    name: ClassVar[str]
    kind: ClassVar[type[StatisticalOptions]]

    whole_corpus = True
    needs_model = False

    def __init__(self, settings: AlignerSettings) -> None:
        if settings.layers:
            raise InputError(f"{self.name} has no layers", remedy="Leave out the layer")
        if importlib.util.find_spec("thot") is None:
            raise InputError(
                f"the method {self.name} needs the package sil-thot",
                remedy="Install it: pip install 'align-eval[statistical]'",
            )
        self._ways: dict[System, Any] = {}
        for method in settings.methods:
            given = parse_options(f"the method {self.name}", split_spec(method)[1], options_of(self.kind))
            options = self.kind(**given)
            changed = ",".join(f"{key}={value}" for key, value in options.changed())
            self._ways[System(f"{self.name}:{changed}" if changed else self.name)] = options
            options.texts()
        self.systems = list(self._ways)

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        trained: dict[StatisticalOptions, Directions] = {}
        out: dict[System, list[Links]] = {}
        for system, options in self._ways.items():
            key = dataclasses.replace(options, sym=self.kind.sym, rule=self.kind.rule)
            if key not in trained:
                trained[key] = self.directions(pairs, chain.from_iterable(options.texts()), options)
            found = trained[key]
            if options.sym in ("forward", "reverse"):
                table = found.forward if options.sym == "forward" else found.reverse
            else:
                table = symmetrize_table(found.forward, found.reverse, options.sym, options.rule)
            out[system] = [table[k] for k in range(len(pairs))]
        return out

    def directions(self, pairs: Sequence[SentencePair], extra: Iterable[SentencePair], options: Any) -> Directions:
        """Train on ``extra`` and ``pairs`` together and return the links of ``pairs`` in both directions.

        Words become numbers before they are handed over, so that nothing in a word can mean anything to the package.
        Pairs with an empty side get no links and are not trained on. Symmetrisation and training files in ``options``
        are not looked at.

        Raises:
            SentenceTooLongError: a sentence of ``pairs`` has more words than the model takes: the package would leave
                it out without a word.
        """
        limit = int(self._models(options)[-1].max_sentence_length)
        live = [k for k, pair in enumerate(pairs) if pair.source and pair.target]
        for pair in (pairs[k] for k in live):
            if max(len(pair.source), len(pair.target)) > limit:
                raise SentenceTooLongError(
                    f"pair {pair.id} has {len(pair.source)} and {len(pair.target)} words, {self.name} takes {limit} "
                    "in a sentence",
                    remedy="Split the sentence, or align it with a model",
                )
        check_sizes(pairs[k] for k in live)
        text = _numbered(chain(_fitting(extra, limit), (pairs[k] for k in live)), options.lowercase)
        tables = []
        for swap in (False, True):
            rows = [Links()] * len(pairs)
            if live:
                sides = [(target, source) if swap else (source, target) for source, target in text]
                for k, matrix in zip(live, self._train(sides, len(live), options), strict=True):
                    cells = np.argwhere(matrix.to_numpy()).astype(np.int64)
                    rows[k] = Links(cells[:, ::-1] if swap else cells)
            table = LinkTable.from_links(rows)
            table.check_range([len(p.source) for p in pairs], [len(p.target) for p in pairs])
            tables.append(table)
        return Directions(*tables)

    def _models(self, options: Any) -> list[Any]:
        """The untrained models, the first of the chain first; what is given a text is the first one."""
        from thot import alignment

        models: list[Any] = []
        for stage in _CHAINS[self.name]:
            models.append(getattr(alignment, f"{stage}AlignmentModel")(*models[-1:]))
        return models

    def _iterations(self, model: Any, options: Any, sentences: int) -> int:
        return int(options.iterations)

    def _train(self, text: list[tuple[list[str], list[str]]], count: int, options: Any) -> list[Any]:
        """Train one direction and return the alignment matrices of the last ``count`` pairs."""
        models = self._models(options)
        for source, target in text:
            models[0].add_sentence_pair(source, target)
        for model in models:
            iterations = self._iterations(model, options, len(text))
            model.start_training()
            for _ in range(iterations):
                model.train()
            model.end_training()
        return self._best(models[-1], text, count)

    def _best(self, model: Any, text: list[tuple[list[str], list[str]]], count: int) -> list[Any]:
        sources, targets = map(list, zip(*text[-count:], strict=True))
        return [matrix for _, matrix in model.get_best_alignments(sources, targets)]

    def signature(self, system: System) -> dict[str, str]:
        """The package's version as ``revision``; training files by name and the start of their sha256."""
        options = self._ways[system]
        params = [
            f"train={Path(value).name}@{self._checksums[value]}" if key == "train" else f"{key}={value}"
            for key, value in options.changed()
            if key not in ("sym", "rule")
        ]
        one = options.sym in ("forward", "reverse", "intersection", "union")
        out = {
            "revision": f"sil-thot-{version('sil-thot')}",
            "method": self.name,
            "sym": options.sym if one else f"{options.sym}/{options.rule}",
        }
        return {**out, "params": ",".join(params)} if params else out

    @cached_property
    def _checksums(self) -> dict[str, str]:
        return {name: sha256_of(name)[:8] for options in self._ways.values() for name in options.train}


@ALIGNERS.register("eflomal")
class Eflomal(StatisticalAligner):
    """Bayesian IBM 1, HMM and fertility models by Gibbs sampling: ``eflomal:train=FILE,sym=grow-diag,seed=2``.

    Options: :class:`EflomalOptions`. Links are those of the highest marginal probability over the samples.
    """

    name = "eflomal"
    kind = EflomalOptions

    def _models(self, options: Any) -> list[Any]:
        from thot import alignment

        model = alignment.EflomalAlignmentModel()
        model.seed, model.num_samplers, model.p0 = options.seed, options.samplers, options.null
        model.deterministic = True
        model.auto_iterations = False
        model.emit_training_alignments = True
        return [model]

    def _iterations(self, model: Any, options: Any, sentences: int) -> int:
        most = max(2, round(options.length * 5000 / math.sqrt(sentences)))
        few = max(2, most // 4)
        model.set_iterations(*((most, 0, 0), (few, most, 0), (few, few, most))[options.model - 1])
        return int(model.scheduled_iterations)

    def _best(self, model: Any, text: list[tuple[list[str], list[str]]], count: int) -> list[Any]:
        return [model.get_training_alignment(k)[1] for k in range(len(text) - count, len(text))]


@ALIGNERS.register("fast_align")
class FastAlign(StatisticalAligner):
    """IBM 2 with a log-linear diagonal prior: ``fast_align:train=FILE,sym=grow-diag-final-and``.

    Options: :class:`FastAlignOptions`.
    """

    name = "fast_align"
    kind = FastAlignOptions

    def _models(self, options: Any) -> list[Any]:
        from thot import alignment

        model = alignment.FastAlignModel()
        model.variational_bayes, model.fast_align_p0 = options.bayes, options.null
        return [model]


for _name in _CHAINS:
    ALIGNERS.register(_name)(type(_name.capitalize(), (StatisticalAligner,), {"name": _name, "kind": IbmOptions}))


def _fitting(pairs: Iterable[SentencePair], limit: int) -> Iterable[SentencePair]:
    """The pairs with two sides of at most ``limit`` words; warns of those that are too long and left out."""
    left_out = 0
    for pair in pairs:
        if not pair.source or not pair.target:
            continue
        if max(len(pair.source), len(pair.target)) > limit or pair_size_error(pair) is not None:
            left_out += 1
        else:
            yield pair
    if left_out:
        warnings.warn(
            f"{left_out} training pairs have a sentence of more than {limit} words or are over the limits of a pair, "
            "and are left out",
            AlignEvalWarning,
            stacklevel=2,
        )


def _numbered(pairs: Iterable[SentencePair], lowercase: bool) -> list[tuple[list[str], list[str]]]:
    """The words of each side as numbers from 1 (as text), in the order in which they first come."""
    known: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def numbers(words: Sequence[str], side: int) -> list[str]:
        found = known[side]
        return [found.setdefault(word.lower() if lowercase else word, str(len(found) + 1)) for word in words]

    return [(numbers(pair.source, 0), numbers(pair.target, 1)) for pair in pairs]
