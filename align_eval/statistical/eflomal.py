"""eflomal: Bayesian IBM 1, HMM and fertility models by Gibbs sampling (Östling & Tiedemann 2016), by its own package.

The package draws its random seed from the system and takes none: two runs differ in some links (0.1
points of AER between two runs on deen-rwth or enfr-wpt alone). More ``samplers`` average over more chains.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from align_eval.corpora import SentencePair
from align_eval.errors import AlignEvalError, InputError, ModelError
from align_eval.files import output_errors
from align_eval.link_table import LinkTable
from align_eval.links import Links
from align_eval.statistical.options import StatisticalOptions, in_range
from align_eval.statistical.text import Directions, TrainingText, missing_package

# The package writes sentences of 1,024 words and more as empty ones.
LONGEST = 1023


@dataclass(frozen=True)
class EflomalOptions(StatisticalOptions):
    """Options of eflomal; those of its own have the package's defaults.

    Attributes:
        model: 1 (IBM 1), 2 (HMM) or 3 (HMM with fertility); each starts from the ones below it.
        null: prior probability that a word is linked with nothing.
        length: number of sampling iterations relative to the package's own choice (5000 / sqrt(sentences)).
        samplers: independent samplers whose marginals are averaged.
    """

    model: int = 3
    null: float = 0.2
    length: float = 1.0
    samplers: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("model", self.model, 1, 3)
        in_range("null", self.null, 0, 1)
        in_range("length", self.length, 0.001, 1000)
        in_range("samplers", self.samplers, 1, 1000)


def check_eflomal() -> None:
    """Raise :class:`InputError` if the package is not installed or was built without its program."""
    spec = importlib.util.find_spec("eflomal")
    if spec is None or spec.origin is None:
        raise missing_package("eflomal", "eflomal", " (it is compiled: needs a C compiler and make)")
    program = Path(spec.origin).parent / "bin" / "eflomal"
    if not os.access(program, os.X_OK):
        raise InputError(
            f"the package eflomal is installed without its program {program.name}",
            file=program,
            remedy="Install a C compiler and make, then: pip install --force-reinstall --no-cache-dir eflomal",
        )


def eflomal_directions(
    pairs: Sequence[SentencePair], extra: Iterable[SentencePair] = (), options: EflomalOptions | None = None
) -> Directions:
    """Train eflomal on ``extra`` and ``pairs`` together and return the links of ``pairs`` in both directions.

    Args:
        pairs: the sentence pairs to align; those with an empty side get no links.
        extra: more text to train on; pairs with an empty side are passed over.
        options: see :class:`EflomalOptions`; symmetrisation and training files in it are not looked at.

    Raises:
        InputError: the package is not installed.
        SentenceTooLongError: a sentence of ``pairs`` has more than 1,023 words.
        ModelError: the package failed.
        OutputError: the folder for temporary files cannot be written.
    """
    check_eflomal()
    options = options or EflomalOptions()
    text = TrainingText(pairs, extra, options.lowercase, LONGEST, "eflomal")
    if not text.live:
        return Directions(text.table(()), text.table(()))
    package = importlib.import_module("eflomal")
    aligner = package.Aligner(
        model=options.model,
        null_prior=options.null,
        rel_iterations=options.length,
        n_samplers=options.samplers,
    )
    with TemporaryDirectory(prefix="align-eval-") as folder:
        names = [Path(folder, name) for name in ("source", "target", "forward", "reverse")]
        with output_errors(folder), names[0].open("w") as source, names[1].open("w") as target:
            for pair in text.pairs():
                source.write(" ".join(map(str, pair.source)) + "\n")
                target.write(" ".join(map(str, pair.target)) + "\n")
        try:
            with names[0].open() as source, names[1].open() as target:
                aligner.align(
                    source, target, links_filename_fwd=str(names[2]), links_filename_rev=str(names[3]), quiet=True
                )
        except (subprocess.CalledProcessError, OSError) as error:
            raise ModelError(
                f"eflomal failed: {error}",
                remedy="Check memory and disk, and that its package is built for this machine",
            ) from error
        return Directions(*(_table(text, name) for name in names[2:]))


def _table(text: TrainingText, path: Path) -> LinkTable:
    """The links of the last sentence pairs of a file that the package wrote.

    Raises:
        ModelError: the file has another form.
    """
    try:
        with path.open(encoding="ascii") as lines:
            return text.table(_links(islice(lines, text.extra_count, None)))
    except AlignEvalError:
        raise
    except ValueError as error:
        raise ModelError(
            f"eflomal gave links of an unknown form ({error})", remedy="Install eflomal 2 again"
        ) from error


def _links(lines: Iterable[str]) -> Iterator[Links]:
    for line in lines:
        cells = [item.split("-") for item in line.split()]
        yield Links([(int(i), int(j)) for i, j in cells])
