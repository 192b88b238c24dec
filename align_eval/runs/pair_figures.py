"""Pictures of every pair of a test set with the links found: in parallel, each file whole or not there.

A folder of figures has ``figures.json`` (what was drawn). Started again with the same settings, an interrupted run
draws what is missing.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align_eval.corpora import Corpus, SentencePair, read_links
from align_eval.errors import AlignEvalError, AlignEvalWarning, InputError
from align_eval.figures.pair import MOST_WORDS, aligned_pair
from align_eval.figures.style import FORMATS, save
from align_eval.files import StrPath, parse_json
from align_eval.io.resumable import Key
from align_eval.links import Links
from align_eval.links.table import LinkTable
from align_eval.processes import isolated_workers
from align_eval.runs.evaluate import align_pairs
from align_eval.runs.results import file_name, links_file, make_folder, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Strength = Callable[[SentencePair], NDArray[np.floating]]


@dataclass(frozen=True)
class AlignedSet:
    """A test set with the links that one system found in it."""

    testset: Corpus
    name: str  # of the folder for its figures, such as ``mini-ende.argmax.layer7``
    title: str  # the system, as the figures name it
    links: LinkTable
    layer: int | None = None  # of the hidden states that the links were made of


def read_set(testset: Corpus, links: StrPath) -> AlignedSet:
    """A test set with the links of a file."""
    path = Path(links)
    return AlignedSet(testset, file_name(path.stem), path.name, read_links(path, bitext=testset.pairs))


def align_set(testset: Corpus, aligner: Any, progress: Callable[[int], None] | None = None) -> list[AlignedSet]:
    """The links of every system of an aligner in a test set, found now."""
    out = []
    for system, table in align_pairs(testset.pairs, aligner, progress).items():
        parts = (system.method, system.layer, system.head, system.mode, system.sym)
        name = links_file(testset.name, *parts).removesuffix(".talp")
        title = " ".join(filter(None, (aligner.signature(system).get("model", ""), str(system))))
        out.append(AlignedSet(testset, name, title, table, system.layer))
    return out


def draw_pairs(
    aligned: AlignedSet, folder: StrPath, *, numbers: Iterable[int] | None = None, format: str = "png",
    strength: Strength | None = None, quantity: str = "similarity", made_by: dict[str, str] | None = None,
    jobs: int = 1, restart: bool = False, progress: Callable[[int], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Draw the pairs of a test set, one file each: ``FOLDER/0001.png`` and so on, by number from 1.

    Files that stand there already are kept if they were drawn with the same settings. A pair with an empty side has no
    figure, nor one of more words than a figure has room for (which is warned of, as is what the figures warn of).

    Args:
        numbers: the pairs to draw, from 1; ``None``: all.
        format: ``png``, ``svg`` or ``pdf``.
        strength: gives the matrix of a pair, ``(source words, target words)``, drawn as colour; ``None``: links alone.
        quantity: what that matrix is; ``made_by``: signature of the model that gives it.
        jobs: processes that draw.
        restart: draw everything anew, whatever stands there.
        progress: called for each figure that is there.

    Returns:
        the files, in the order of the numbers.
    """
    if format not in FORMATS:
        raise InputError(f"figures are not written as {format!r}", remedy=f"Choose {', '.join(FORMATS)}")
    if jobs < 1:
        raise InputError(f"{jobs} processes", remedy="Give at least 1")
    pairs = aligned.testset.pairs
    wanted = range(1, len(pairs) + 1) if numbers is None else list(dict.fromkeys(numbers))
    for number in wanted:
        if not 1 <= number <= len(pairs):
            raise InputError(f"{aligned.testset.name} has no pair {number}", remedy=f"Choose from 1 to {len(pairs)}")
    base = make_folder(folder)
    columns = (aligned.links.sentence, aligned.links.source, aligned.links.target)
    digest = hashlib.sha256(b"".join(c.astype("<i8").tobytes() for c in columns)).hexdigest()
    key = Key.of(
        testset=aligned.testset.name, checksum=aligned.testset.checksum, system=aligned.title, links=digest,
        strength=quantity if strength else None, signature=made_by,
    )  # fmt: skip
    _settle(base / "figures.json", key, restart)
    digits = max(4, len(str(len(pairs))))
    sizes = {n: sorted((len(pairs[n - 1].source), len(pairs[n - 1].target))) for n in wanted}
    large = [n for n, (_, most) in sizes.items() if most > MOST_WORDS]
    files = {n: base / f"{n:0{digits}}.{format}" for n, (least, _) in sizes.items() if least and n not in large}

    def todo() -> Iterator[tuple[Any, ...]]:
        for number, path in files.items():
            if path.exists() and not restart:
                if progress:
                    progress(1)
                continue
            pair = pairs[number - 1]
            values = None if strength is None else strength(pair)
            title = f"{aligned.title}, pair {number}"
            yield pair, values, aligned.links[number - 1], quantity, title, os.fspath(path)

    warned = []
    for messages in _run(todo(), jobs):
        warned += messages
        if progress:
            progress(1)
    if large:
        rest = f"words on a side have no figure (first: {large[0]})"
        warnings.warn(f"{len(large)} sentence pairs with more than {MOST_WORDS} {rest}", AlignEvalWarning, stacklevel=2)
    if warned:
        more = f" (and {len(warned) - 1} more such warnings)" if len(warned) > 1 else ""
        warnings.warn(f"{warned[0]}{more}", AlignEvalWarning, stacklevel=2)
    return list(files.values())


def draw(
    pair: SentencePair, values: NDArray[np.floating] | None, links: Links, quantity: str, title: str, path: str
) -> list[str]:
    """Draw one pair and write it; returns what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        save(aligned_pair(pair, values, links, quantity=quantity, title=title), path)
    return [str(w.message) for w in caught if issubclass(w.category, AlignEvalWarning)]


def _run(jobs: Iterator[tuple[Any, ...]], processes: int) -> Iterator[list[str]]:
    """Draw all and yield the warnings of each; a few jobs stand ready for each process, no more."""
    if processes == 1:
        yield from starmap(draw, jobs)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        with isolated_workers():
            pool = Parallel(processes, return_as="generator", pre_dispatch=4 * processes)
            yield from pool(starmap(delayed(draw), jobs))
    except TerminatedWorkerError:
        raise AlignEvalError(
            "a process that draws was ended from outside",
            remedy="Start again: what is drawn is kept; with fewer --jobs if memory is short",
        ) from None


def _settle(path: Path, key: Key, restart: bool) -> None:
    """Write down what is drawn, unless something else has been drawn there (a run that drew nothing blocks none)."""
    if path.exists() and not restart and any(path.parent.glob("[0-9]*.*")):
        try:
            before = parse_json(path.read_text("utf-8"))
        except ValueError:
            before = {}
        key.require(before, "a set of figures with other settings", path.parent)
    write_json(path, key.parts)
