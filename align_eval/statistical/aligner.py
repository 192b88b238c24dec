"""What both statistical aligners share: training on the whole text at once, and both directions made into one."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from align_eval.aligners.base import Aligner, AlignerSettings, System
from align_eval.corpora import Bitext, SentencePair, read_bitext
from align_eval.errors import InputError
from align_eval.files import sha256_of
from align_eval.links import Links
from align_eval.options import split_spec
from align_eval.statistical.options import StatisticalOptions, parse_options
from align_eval.statistical.text import Directions
from align_eval.symmetrization import symmetrize_table


class StatisticalAligner(Aligner):
    """Methods ``NAME`` or ``NAME:option=value,...``, trained on the text that is aligned and on ``train`` files.

    All pairs must come in one call: they are the training text. Methods that differ in the symmetrisation alone share
    one training. Links have no scores.

    Raises:
        UnknownNameError: no such option or symmetrisation.
        InputError: a value of the wrong kind, a layer, or the package is not installed.
        MissingFileError: a file to train on cannot be opened.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    kind: ClassVar[type[StatisticalOptions]]
    seedless: ClassVar[str]

    whole_corpus = True
    needs_model = False

    def __init__(self, settings: AlignerSettings) -> None:
        if settings.layers:
            raise InputError(f"{self.name} has no layers", remedy="Leave out the layer")
        self.check()
        self._ways: dict[System, StatisticalOptions] = {}
        for method in settings.methods:
            tail = split_spec(method)[1]
            if any(part.partition("=")[0] == "seed" for part in tail.split(",")):
                raise InputError(f"{self.name} takes no seed: {self.seedless}", remedy="Leave out seed=")
            options = parse_options(self.name, self.kind, tail)
            changed = ",".join(f"{key}={value}" for key, value in options.changed())
            self._ways[System(f"{self.name}:{changed}" if changed else self.name)] = options
        self.systems = list(self._ways)
        for options in self._ways.values():
            _files(options)

    @staticmethod
    @abstractmethod
    def check() -> None:
        """Raise :class:`InputError` if the package is not installed."""

    @abstractmethod
    def directions(self, pairs: Sequence[SentencePair], extra: Iterable[SentencePair], options: Any) -> Directions:
        """Train on ``extra`` and ``pairs``, return the links of ``pairs`` in both directions."""

    def align_all(self, pairs: Sequence[SentencePair]) -> dict[System, list[Links]]:
        trained: dict[StatisticalOptions, Directions] = {}
        out: dict[System, list[Links]] = {}
        for system, options in self._ways.items():
            key = dataclasses.replace(options, sym=self.kind.sym, rule=self.kind.rule)
            if key not in trained:
                trained[key] = self.directions(pairs, chain.from_iterable(_files(options)), options)
            found = trained[key]
            if options.sym in ("forward", "reverse"):
                table = found.forward if options.sym == "forward" else found.reverse
            else:
                table = symmetrize_table(found.forward, found.reverse, options.sym, options.rule)
            out[system] = [table[k] for k in range(len(pairs))]
        return out

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
            "revision": f"{self.package}-{version(self.package)}",
            "method": self.name,
            "sym": options.sym if one else f"{options.sym}/{options.rule}",
        }
        return {**out, "params": ",".join(params)} if params else out

    @cached_property
    def _checksums(self) -> dict[str, str]:
        names = {name for options in self._ways.values() for name in options.train}
        return {name: sha256_of(name)[:8] for name in names}


def _files(options: StatisticalOptions) -> list[Bitext]:
    tokenize = options.train_tokenize or None
    return [read_bitext(name, order=options.train_order, tokenize=tokenize) for name in options.train]
