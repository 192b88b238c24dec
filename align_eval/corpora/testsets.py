"""Named test sets: found on this machine, verified against the registry, loaded with their gold links.

The files of a set are looked for in this order: the project's own data (for the sets that come with align-eval); beside
the registry file (for sets of ``ALIGN_EVAL_TESTSETS``); the folder that ``ALIGN_EVAL_DATA`` names; the cache folder,
where ``align-eval testsets fetch`` puts them. Nothing is read before its sha256 is the registered one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from align_eval.corpora.testset_entries import REGISTRY_FILE, TestSetEntry, all_entries, get_entry
from align_eval.errors import (
    AlignEvalError,
    ChecksumError,
    FormatError,
    InputError,
    LengthMismatchError,
    LinkRangeError,
    MissingFileError,
)
from align_eval.files import cache_folder, data_folder, sha256_of

if TYPE_CHECKING:
    from align_eval.corpora.fetching import Progress
    from align_eval.corpora.pair import SentencePair
    from align_eval.link_table import LinkTable


REVERSE = ":reverse"
"""Behind the name of a set: seen from its other side."""


@dataclass(frozen=True)
class TestSet:
    """A named test set with gold links.

    Attributes:
        name: its name in the registry.
        title: what it is, in a few words.
        source_language, target_language: ISO 639-1 codes.
        gold: the gold links, 0-based, source first, S a subset of P.
        checksum: sha256 (hex) over the sha256 sums of its files in order; stands in the signature of a score.
        version: of the registry entry.
        citation: the references to cite, one a line.
        licence: as the origin states it.
        files: the verified files, in the order of the registry.
        base: the index base of the links *in the files* (the package counts from 0).
    """

    __test__: ClassVar[bool] = False

    name: str
    title: str
    source_language: str
    target_language: str
    gold: LinkTable = field(repr=False, compare=False)
    checksum: str
    version: str
    citation: str = field(repr=False)
    licence: str
    files: tuple[Path, ...] = field(compare=False)
    base: int
    entry: TestSetEntry = field(repr=False, compare=False)

    def __len__(self) -> int:
        """The number of sentence pairs."""
        return self.entry.sentences

    def reverse(self) -> TestSet:
        """The same set seen from its other side: source and target swapped, ``:reverse`` behind its name (or gone).

        Raises:
            LengthMismatchError, LinkRangeError: as :attr:`pairs`.
        """
        swapped = replace(
            self,
            name=self.name.removesuffix(REVERSE) if self.name.endswith(REVERSE) else f"{self.name}{REVERSE}",
            source_language=self.target_language,
            target_language=self.source_language,
            gold=self.gold.reverse(),
        )
        swapped.__dict__["sentences"] = [pair.reverse() for pair in self.sentences]
        return swapped

    @cached_property
    def pairs(self) -> list[SentencePair]:
        """The sentence pairs with their gold links; read when first asked for.

        Raises:
            LengthMismatchError: another number of sentence pairs than of gold lines.
            LinkRangeError: a gold link lies outside its sentence pair.
        """
        from align_eval.corpora.pair import SentencePair

        return [SentencePair(p.id, p.source, p.target, self.gold.gold(k)) for k, p in enumerate(self.sentences)]

    @cached_property
    def sentences(self) -> list[SentencePair]:
        """The sentence pairs as they are in the file, which is quicker: without gold, unless the file holds it too.

        Raises:
            LengthMismatchError, LinkRangeError: as :attr:`pairs`.
        """
        from align_eval.corpora.readers import read_bitext

        by_role = dict(
            zip((f.role for f in self.entry.files), zip(self.entry.files, self.files, strict=True), strict=True)
        )
        if "source" in by_role:
            (first, path), (_, target) = by_role["source"], by_role["target"]
            bitext = read_bitext(path, target, format=first.format)
        else:
            first, path = by_role.get("sentences") or by_role["sentences+gold"]
            bitext = read_bitext(path, format=first.format)
        pairs = [pair for pair in bitext]  # noqa: C416 - list() would ask for the length, which reads everything once more
        if len(pairs) != self.gold.sentences:
            raise LengthMismatchError(
                f"{len(pairs)} sentence pairs, but gold links of {self.gold.sentences}",
                file=path,
                remedy=f"Correct the entry {self.name!r} in {self.entry.registry}",
            )
        try:
            self.gold.check_range([len(p.source) for p in pairs], [len(p.target) for p in pairs])
        except LinkRangeError as error:
            raise LinkRangeError(error.message, file=path, line=error.line, remedy=error.remedy) from None
        return pairs


@dataclass(frozen=True)
class TestSetCheck:
    """What :func:`check_testset` found.

    ``status`` is ``"ok"``, ``"differs"``, ``"not fetched"``, or ``"missing"`` where there is nothing to fetch.
    """

    __test__: ClassVar[bool] = False

    name: str
    status: str
    place: str
    problems: tuple[str, ...] = ()


def testset_names() -> list[str]:
    """The names of all test sets, in the order of the registry.

    Raises:
        FormatError, MissingFileError: a registry file named by ``ALIGN_EVAL_TESTSETS`` cannot be used.
    """
    return list(all_entries())


def load_testset(name: str) -> TestSet:
    """Load a named test set from this machine (nothing is downloaded).

    The gold links are read and counted now, the sentence pairs when :attr:`TestSet.pairs` is first used.

    Raises:
        UnknownNameError: no such test set; the message lists the nearest names.
        MissingFileError: its files are not on this machine; the remedy says how to fetch them.
        ChecksumError: a file is not the registered one.
        FormatError: the gold does not have the registered number of sentences and links.
    """
    entry = get_entry(name)
    files = _verified_files(entry)
    return TestSet(
        name=entry.name,
        title=entry.title,
        source_language=entry.source_language,
        target_language=entry.target_language,
        gold=_read_gold(entry, files),
        checksum=entry.checksum,
        version=entry.version,
        citation="\n".join(entry.citation),
        licence=entry.licence,
        files=files,
        base=entry.base,
        entry=entry,
    )


def locate_testset(name: str) -> tuple[str, Path] | None:
    """Where the files of a test set lie: ``("packaged" | "registry folder" | "data folder" | "cache", folder)``.

    ``None``: not on this machine. Only their presence is looked at; :func:`check_testset` verifies them.

    Raises:
        UnknownNameError: no such test set.
    """
    return _locate(get_entry(name))


def fetch_testset(
    name: str, *, force: bool = False, timeout: float = 30.0, progress: Progress | None = None
) -> tuple[Path, ...]:
    """Make sure that a test set is on this machine: download what is missing to the cache folder, verified.

    Args:
        name: a test set.
        force: download to the cache folder even if the set lies in a data folder.
        timeout: seconds without a sign of the server that are waited.
        progress: called as bytes come in, for each file.

    Returns:
        The verified files.

    Raises:
        UnknownNameError: no such test set.
        InputError: the set is not on this machine and its entry has no addresses.
        DownloadError, ChecksumError, OutputError: see :func:`align_eval.corpora.fetching.fetch_file`; a wrong file in
            a data folder, which would be used before the cache, is a ChecksumError too.
    """
    entry = get_entry(name)
    found = _locate(entry)
    if found is not None and found[0] != "cache" and not (force and entry.fetchable and not entry.packaged):
        return _verified_files(entry)
    if not entry.fetchable:
        raise InputError(
            f"the test set {name!r} has no address to fetch it from", file=entry.registry, remedy=_remedy(entry)
        )
    from align_eval.corpora.fetching import fetch_file

    root = testset_cache()
    return tuple(
        fetch_file(f.url or "", root, f.path, f.sha256, timeout=timeout, progress=progress) for f in entry.files
    )


def check_testset(name: str) -> TestSetCheck:
    """Verify the files of a test set: sha256, number of sentences and links, and that every link is in range.

    Raises:
        UnknownNameError: no such test set.
    """
    entry = get_entry(name)
    found = _locate(entry)
    if found is None:
        status = "not fetched" if entry.fetchable else "missing"
        return TestSetCheck(name, status, "", (f"not on this machine. {_remedy(entry)}",))
    place, folder = found
    problems = [
        f"{folder / f.path}: sha256 {digest}, registered {f.sha256}"
        for f in entry.files
        if (digest := sha256_of(folder / f.path)) != f.sha256
    ]
    if not problems:
        try:
            pairs = load_testset(name).pairs
            outside = [p.id for p in pairs if p.gold is not None and not p.gold.sure <= p.gold.possible]
            problems += [f"pair {k}: a sure link is not possible" for k in outside]
        except AlignEvalError as error:
            problems.append(str(error))
    return TestSetCheck(name, "differs" if problems else "ok", f"{place} ({folder})", tuple(problems))


def testset_cache() -> Path:
    """The folder that test sets are fetched to."""
    return cache_folder() / "testsets"


def _folders(entry: TestSetEntry) -> list[tuple[str, Path]]:
    if entry.packaged:
        return [("packaged", data_folder())]
    folders = [] if entry.registry == REGISTRY_FILE else [("registry folder", entry.registry.resolve().parent)]
    named = os.environ.get("ALIGN_EVAL_DATA")
    if named:
        folders.append(("data folder", Path(named).expanduser()))
    return [*folders, ("cache", testset_cache())]


def _locate(entry: TestSetEntry) -> tuple[str, Path] | None:
    for place, folder in _folders(entry):
        if all((folder / f.path).is_file() for f in entry.files):
            return place, folder
    return None


def _remedy(entry: TestSetEntry) -> str:
    if entry.packaged:
        return "Install align-eval again"
    where = f"set ALIGN_EVAL_DATA to the folder that holds {entry.files[0].path}"
    if not entry.fetchable:
        return where[0].upper() + where[1:]
    return f"Fetch it: align-eval testsets fetch {entry.name} (or {where})"


def _verified_files(entry: TestSetEntry) -> tuple[Path, ...]:
    found = _locate(entry)
    if found is None:
        raise MissingFileError(f"the test set {entry.name!r} is not on this machine", remedy=_remedy(entry))
    place, folder = found
    remedies = {
        "packaged": "Install align-eval again",
        "cache": f"Fetch it again: align-eval testsets fetch {entry.name}",
    }
    for file in entry.files:
        digest = sha256_of(folder / file.path)
        if digest != file.sha256:
            raise ChecksumError(
                f"sha256 {digest}, but the test set {entry.name!r} is registered with {file.sha256}",
                file=folder / file.path,
                remedy=remedies.get(place, f"Put the published file there, or take it away. {_remedy(entry)}"),
            )
    return tuple(folder / file.path for file in entry.files)


def _read_gold(entry: TestSetEntry, files: tuple[Path, ...]) -> LinkTable:
    from align_eval.corpora.linkio import read_links

    file, path = next((f, p) for f, p in zip(entry.files, files, strict=True) if f.role in ("gold", "sentences+gold"))
    table = read_links(path, format=file.format, base=entry.base)
    found = {"sentences": table.sentences, "sure links": table.sure_links, "possible links (all of P)": table.links}
    registered = (entry.sentences, entry.sure, entry.possible)
    for (what, number), wanted in zip(found.items(), registered, strict=True):
        if number != wanted:
            raise FormatError(
                f"{number} {what}, but the test set {entry.name!r} is registered with {wanted}",
                file=path,
                remedy=f"Correct the entry {entry.name!r} in {entry.registry}",
            )
    return table
