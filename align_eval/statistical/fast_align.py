"""fast_align: IBM 2 with a log-linear diagonal prior (Dyer, Chahuneau & Smith 2013), trained by ``systran-align``.

The package trains both directions by EM. It gives links in one symmetrisation alone and with its starting tension, so
the best links are found here, with the probabilities and the tension that it has learned, as fast_align's own
``force_align.py`` does. Nothing is random: with one thread the same text gives the same links; several threads add
their counts in any order, which can change a tie.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from align_eval.corpora import SentencePair
from align_eval.errors import ModelError
from align_eval.files import output_errors
from align_eval.links import Links
from align_eval.processes import isolated
from align_eval.statistical.options import StatisticalOptions, in_range
from align_eval.statistical.text import Directions, TrainingText, missing_package

# Lengths are kept as 16-bit numbers by the package.
LONGEST = 32767
# Probability of a pair of words without one; also the least of any pair.
FLOOR = 1e-9

# Without the working directory on the path, where a file could stand that is called like a module.
_TRAIN = "import json, systran_align; systran_align.generate_alignment_probabilities(**json.loads(sys.argv[1]))"


@dataclass(frozen=True)
class FastAlignOptions(StatisticalOptions):
    """Options of fast_align; those of its own as its authors recommend (``-d -o -v``).

    Attributes:
        sym: ``grow-diag`` unless asked otherwise.
        iterations: of EM.
        diagonal: favour links near the diagonal.
        tension: how much, to begin with.
        optimize: learn the tension (from the second iteration on).
        bayes: Dirichlet prior on the lexical probabilities, by variational Bayes.
        alpha: its concentration.
        null: probability that a word is linked with nothing.
        beam: log probabilities of a word are kept down to -``beam`` times that of its best word. -4 is the default of
            package and program for the tables they write; -1e9 keeps all, which gives the links that the program
            prints in its last iteration, and takes several times the memory. -4 was kept after a comparison of both
            on deen-rwth, where it did better: that set is not held out for this choice.
        threads: of the training; more than one can change ties.
    """

    sym: str = "grow-diag"
    iterations: int = 5
    diagonal: bool = True
    tension: float = 4.0
    optimize: bool = True
    bayes: bool = True
    alpha: float = 0.01
    null: float = 0.08
    beam: float = -4.0
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("iterations", self.iterations, 1, 1000)
        in_range("tension", self.tension, 0.1, 1000)
        in_range("alpha", self.alpha, 1e-6, 1000)
        in_range("null", self.null, 1e-6, 1 - 1e-6)
        in_range("beam", self.beam, -1e9, 0)
        in_range("threads", self.threads, 1, 1024)


@dataclass(frozen=True)
class LexicalTable:
    """What one direction of the training has learned: ``p(generated word | generating word)`` and the tension.

    Attributes:
        keys: sorted int64 ``(entries,)``: generating word * ``width`` + generated word; word 0 is the null word.
        values: float64 ``(entries,)``, one probability a key.
        width: more than the highest number of a word.
        tension: lambda of the diagonal prior; ``None``: no such prior.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.float64]
    width: int
    tension: float | None

    def probabilities(self, generating: NDArray[np.int64], generated: NDArray[np.int64]) -> NDArray[np.float64]:
        """``(generating words, generated words)``; pairs of words without a probability have :data:`FLOOR`."""
        wanted = generating[:, None] * self.width + generated[None, :]
        if not len(self.keys):
            return np.full(wanted.shape, FLOOR)
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[place] == wanted, np.maximum(self.values[place], FLOOR), FLOOR)

    def joint(self, generating: Sequence[int], generated: Sequence[int], null: float) -> NDArray[np.float64]:
        """Probability of each way to generate each word (equations 1 and 2 of the paper).

        Returns:
            ``(1 + generating words, generated words)``: row 0 is the null word.
        """
        rows = np.array([0, *generating], dtype=np.int64)
        lexical = self.probabilities(rows, np.asarray(generated, dtype=np.int64))
        n, m = len(generating), len(generated)
        if self.tension is None:
            return lexical / (n + 1)
        distance = np.abs(np.arange(1, n + 1)[:, None] / n - np.arange(1, m + 1)[None, :] / m)
        prior = np.exp(-self.tension * distance)
        lexical[0] *= null
        lexical[1:] *= (1 - null) * prior / prior.sum(axis=0)
        return lexical

    def best(self, generating: Sequence[int], generated: Sequence[int], null: float) -> NDArray[np.int64]:
        """``(links, 2)``: for each generated word its likeliest generating word, 0-based, unless that is the null."""
        chosen = self.joint(generating, generated, null).argmax(axis=0)
        (linked,) = chosen.nonzero()
        return np.stack([chosen[linked] - 1, linked], axis=1)


def check_fast_align() -> None:
    """Raise :class:`InputError` if the package is not installed."""
    if importlib.util.find_spec("systran_align") is None:
        raise missing_package("fast_align", "systran-align", " (it has builds for Linux and Python up to 3.11)")


def train_tables(text: TrainingText, options: FastAlignOptions) -> tuple[LexicalTable, LexicalTable]:
    """Train both directions on all pairs of ``text``: source generates target, and target generates source.

    Raises:
        ModelError: the package failed, or its files or messages have another form.
    """
    with TemporaryDirectory(prefix="align-eval-") as folder:
        path, *tables = (Path(folder, name) for name in ("text", "forward", "reverse"))
        with output_errors(folder), path.open("w") as stream:
            for pair in text.pairs():
                source, target = (" ".join(f"{side}{n}" for n in words) for side, words in zip("st", pair, strict=True))
                stream.write(f"{source} ||| {target}\n")
        messages = _train(path, tables, options)
        tensions = _tensions(messages, options)
        forward, reverse = tables
        return read_table(forward, "s", "t", tensions[0]), read_table(reverse, "t", "s", tensions[1])


def _train(path: Path, tables: Sequence[Path], options: FastAlignOptions) -> str:
    arguments = {
        "input_path": str(path),
        "forward_probs_path": str(tables[0]),
        "backward_probs_path": str(tables[1]),
        "verbose": True,
        "iterations": options.iterations,
        "favor_diagonal": options.diagonal,
        "beam_threshold": options.beam,
        "diagonal_tension": options.tension,
        "optimize_tension": options.optimize,
        "variational_bayes": options.bayes,
        "alpha": options.alpha,
        "prob_align_null": options.null,
    }
    # A process of its own: the number of threads is settled before the package is loaded, and its messages, which
    # name the tension, go to the standard error itself.
    command = isolated(_TRAIN, json.dumps(arguments))
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "OMP_DYNAMIC": "false"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ModelError(f"fast_align failed with code {done.returncode}: {last}", remedy="Check memory and disk")
    return done.stderr


def _tensions(messages: str, options: FastAlignOptions) -> list[float | None]:
    directions = messages.split("INITIAL PASS")[1:]
    if len(directions) != 2:
        raise _other_form("its messages do not show two directions")
    if not options.diagonal:
        return [None, None]
    found = [re.findall(r"final tension: (\S+)", part) for part in directions]
    return [float(values[-1]) if values else options.tension for values in found]


def read_table(path: Path, generating: str, generated: str, tension: float | None) -> LexicalTable:
    """Read a file of probabilities, as the package writes them (all numbers are little-endian, of 4 bytes).

    The number 2 and the number of words; the words, each ended by a zero byte, the first one the null word; the size of
    the table; then for each generating word that has probabilities its number (from 1), how many there are, and so
    many pairs of a generated word's number and a probability.

    Args:
        path: the file.
        generating, generated: the letters in front of the numbers of the words of both sides.
        tension: of the table.

    Raises:
        ModelError: the file has another form.
    """
    try:
        return _table(path.read_bytes(), generating, generated, tension)
    except (IndexError, OverflowError, ValueError) as error:  # numbers of words that are not there, for example
        raise _other_form(f"its file of probabilities cannot be read ({error})") from error


def _table(raw: bytes, generating: str, generated: str, tension: float | None) -> LexicalTable:
    if len(raw) < 8 or int.from_bytes(raw[:4], "little") != 2:
        raise _other_form("its file of probabilities does not start with 2")
    count = int.from_bytes(raw[4:8], "little")
    *words, rest = raw[8:].split(b"\0", count)
    if len(words) != count or len(rest) < 4 or len(rest) % 4 or words[0] != b"<eps>":
        raise _other_form("its file of probabilities cannot be read")
    numbers = {letter: _numbers(words, letter.encode()) for letter in (generating, generated)}
    cells = np.frombuffer(rest, dtype="<u4", offset=4)
    owners, starts, lengths = [], [], []
    place = 0
    while place + 2 <= len(cells):
        owners.append(int(cells[place]))
        lengths.append(int(cells[place + 1]))
        starts.append(place + 2)
        place += 2 + 2 * lengths[-1]
    if place != len(cells):
        raise _other_form("its file of probabilities is cut")
    keep = np.ones(len(cells), dtype=bool)
    heads = np.asarray(starts, dtype=np.int64)
    keep[heads - 1] = keep[heads - 2] = False
    entries = cells[keep].reshape(-1, 2)
    rows = numbers[generating][np.repeat(np.asarray(owners, dtype=np.int64), lengths)]
    columns = numbers[generated][entries[:, 0]]
    if (rows < 0).any() or (columns < 1).any():
        raise _other_form("its file of probabilities has a word on the wrong side")
    width = max(int(n.max()) for n in numbers.values()) + 1
    keys = rows * width + columns
    order = np.argsort(keys)
    values = np.ascontiguousarray(entries[:, 1]).view("<f4").astype(np.float64)
    return LexicalTable(keys[order], values[order], width, tension)


def _numbers(words: Sequence[bytes], letter: bytes) -> NDArray[np.int64]:
    """Our number of each word by the package's (from 1): 0 for the null word, -1 for one of the other side."""
    ours = [-1, 0, *(int(w[1:]) if w.startswith(letter) and w[1:].isdigit() else -1 for w in words[1:])]
    return np.asarray(ours, dtype=np.int64)


def _other_form(what: str) -> ModelError:
    return ModelError(
        f"fast_align gave something unknown: {what}", remedy="Install the version known: systran-align==3.5.0"
    )


def fast_align_directions(
    pairs: Sequence[SentencePair], extra: Iterable[SentencePair] = (), options: FastAlignOptions | None = None
) -> Directions:
    """Train fast_align on ``extra`` and ``pairs`` together and return the links of ``pairs`` in both directions.

    Args:
        pairs: the sentence pairs to align; those with an empty side get no links.
        extra: more text to train on; pairs with an empty side are passed over.
        options: see :class:`FastAlignOptions`; symmetrisation and training files in it are not looked at.

    Raises:
        InputError: the package is not installed.
        SentenceTooLongError: a sentence of ``pairs`` has more than 32,767 words.
        ModelError: the package failed.
        OutputError: the folder for temporary files cannot be written.
    """
    check_fast_align()
    options = options or FastAlignOptions()
    text = TrainingText(pairs, extra, options.lowercase, LONGEST, "fast_align")
    if not text.live:
        return Directions(text.table(()), text.table(()))
    forward, reverse = train_tables(text, options)
    null = options.null

    def links(reverse_too: bool) -> Iterator[Links]:
        for k in text.live:
            source, target = text.numbered(pairs[k])
            if reverse_too:
                yield Links(reverse.best(target, source, null)[:, ::-1])
            else:
                yield Links(forward.best(source, target, null))

    return Directions(text.table(links(False)), text.table(links(True)))
