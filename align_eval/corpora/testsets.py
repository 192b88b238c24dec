"""Named test sets: found on this machine, verified against the registry, loaded; and those that a user registers.

The files of a set are looked for in this order: the project's own data (for the sets that come with align-eval); beside
the registry file (for sets of ``ALIGN_EVAL_TESTSETS``); the folder that ``ALIGN_EVAL_DATA`` names; the cache folder,
where ``align-eval testsets fetch`` puts them. Nothing is read before its sha256 is the registered one, and the sha256
is compared again when the file has been read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from align_eval.corpora.corpus import Corpus
from align_eval.corpora.testset_entries import (
    REGISTRY_FILE,
    FileEntry,
    TestSetEntry,
    all_entries,
    entry_text,
    get_entry,
    is_name,
    parse_registry,
    put_entry,
    user_registry,
    without_entry,
    write_registry,
)  # fmt: skip
from align_eval.errors import (
    AlignEvalError,
    ChecksumError,
    FormatError,
    InputError,
    LengthMismatchError,
    LinkRangeError,
    MissingFileError,
    UnknownNameError,
)  # fmt: skip
from align_eval.files import StrPath, cache_folder, data_folder, output_errors, sha256_of
from align_eval.io.locks import alone

if TYPE_CHECKING:
    from align_eval.corpora.fetching import Progress
    from align_eval.corpora.pair import SentencePair
    from align_eval.links.table import LinkTable


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
    """The names of all test sets, in the order of the registry."""
    return list(all_entries())


def load_testset(name: str) -> Corpus:
    """Load a named test set from this machine (nothing is downloaded).

    The gold links are read and counted now, the sentence pairs when ``pairs`` is first used.

    Raises:
        UnknownNameError: no such test set; the message lists the nearest names.
        MissingFileError: its files are not on this machine; the remedy says how to fetch them.
        ChecksumError: a file is not the registered one.
        FormatError: the gold does not have the registered number of sentences and links.
    """
    entry = get_entry(name)
    files = _verified_files(entry)
    table = _read_gold(entry, files)
    return Corpus(
        partial(_read_sentences, entry, files, table), entry.name, entry.source_language, entry.target_language,
        links=table, registered=entry.checksum, kept=True, title=entry.title, version=entry.version,
        citation="\n".join(entry.citation), licence=entry.licence, files=files, base=entry.base,
    )  # fmt: skip


def locate_testset(name: str) -> tuple[str, Path] | None:
    """Where the files of a test set lie: ``("packaged" | "registry folder" | "data folder" | "cache", folder)``.

    ``None``: not on this machine. Only their presence is looked at; :func:`check_testset` verifies them.
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

    Raises:
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
    """Verify the files of a test set: sha256, number of sentences and links, and that every link is in range."""
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


def add_testset(
    name: str,
    bitext: StrPath,
    gold: StrPath | None = None,
    *,
    target: StrPath | None = None,
    format: str = "auto",
    gold_format: str = "auto",
    gold_base: int | str = "auto",
    source_language: str = "",
    target_language: str = "",
    title: str = "",
    citation: tuple[str, ...] = (),
    licence: str = "",
    replace: bool = False,
) -> TestSetEntry:
    """Register a test set of your own: :func:`align_eval.load_testset` and every command then know it by ``name``.

    The files stay where they are and are named by their absolute paths. Counts and sha256 sums are made now, and each
    later use compares them.

    Args:
        name: letters, digits, ``.``, ``_`` and ``-``.
        bitext, gold, target, format, gold_format, gold_base, source_language, target_language: see
            :func:`align_eval.make_testset`; files.
        title, citation, licence: what is shown with the set; may be empty.
        replace: put it in the place of an own set of that name.
    """
    from align_eval.corpora.linkio import read_links_report
    from align_eval.corpora.plain import make_testset
    from align_eval.corpora.readers import read_bitext
    from align_eval.registry import split_spec

    if not is_name(name):
        raise InputError(
            f"{name!r} cannot be the name of a test set",
            remedy="Write letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )
    if "-" in (bitext, target, gold):
        raise InputError("standard input is gone when the test set is used", remedy="Name files")
    registry = user_registry()
    known = all_entries(missing=True)
    if name in known and (known[name].registry != registry or not replace):
        more = ", or --replace (replace=True in Python)" if known[name].registry == registry else ""
        raise InputError(
            f"the test set {name!r} is registered already", file=known[name].registry,
            remedy=f"Give another name{more}",
        )  # fmt: skip
    made = make_testset(
        bitext, gold, target=target, format=format, gold_format=gold_format, gold_base=gold_base,
        source_language=source_language, target_language=target_language,
    )  # fmt: skip
    languages = (source_language or None, target_language or None)
    found = read_bitext(bitext, target, format=format, languages=languages).format
    written = split_spec(format)[1]
    told = f"{found}:{written}" if written else found
    files: list[tuple[str, StrPath, str]] = [("source", bitext, told)]
    if target is not None:
        files.append(("target", target, told))
    elif gold is None and made.table is not None:
        files = [("sentences+gold", bitext, told)]
    else:
        files = [("sentences", bitext, told)]
    if gold is not None:
        report = read_links_report(gold, format=gold_format, base=made.base, bitext=made.pairs)[1]
        files.append(("gold", gold, report.format))
    table = made.table
    values = {
        "title": title or name, "citation": list(citation), "licence": licence, "source_language": source_language,
        "target_language": target_language, "version": "1", "base": made.base, "sentences": len(made),
        "sure": 0 if table is None else table.sure_links, "possible": 0 if table is None else table.links,
    }  # fmt: skip
    listed = [
        {"role": role, "path": os.path.abspath(path), "format": kind, "sha256": sha256_of(path)}
        for role, path, kind in files
    ]
    put_entry(registry, name, entry_text(name, values, listed), replace)
    return get_entry(name)


def remove_testset(name: str) -> Path:
    """Take an own test set out of its registry; its files stay. Returns the registry."""
    registry = user_registry()
    known = parse_registry(registry, registry.read_bytes()) if registry.is_file() else {}
    if name not in known:
        if name in all_entries(missing=True):
            raise InputError(
                f"the test set {name!r} is not one of yours: it is registered in {get_entry(name).registry}",
                remedy="Edit that file, or leave the set",
            )
        raise UnknownNameError("own test set", name, known)
    with output_errors(registry), alone(registry):
        write_registry(registry, without_entry(registry.read_text("utf-8"), name), {k for k in known if k != name})
    return registry


def _folders(entry: TestSetEntry) -> list[tuple[str, Path]]:
    if entry.packaged:
        return [("packaged", data_folder())]
    if all(os.path.isabs(f.path) for f in entry.files):
        return [("own files", Path(os.path.commonpath([os.path.dirname(f.path) for f in entry.files])))]
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
    if entry.own and all(os.path.isabs(f.path) for f in entry.files):
        return f"Put the file back, or register what is there now: align-eval testsets add {entry.name} --replace ..."
    where = f"set ALIGN_EVAL_DATA to the folder that holds {entry.files[0].path}"
    if not entry.fetchable:
        return where[0].upper() + where[1:]
    return f"Fetch it: align-eval testsets fetch {entry.name} (or {where})"


def _verified_files(entry: TestSetEntry) -> tuple[Path, ...]:
    found = _locate(entry)
    if found is None:
        missing = next((f.path for f in entry.files if os.path.isabs(f.path) and not os.path.isfile(f.path)), None)
        raise MissingFileError(
            f"the test set {entry.name!r} is not on this machine", file=missing, remedy=_remedy(entry)
        )
    folder = found[1]
    for file in entry.files:
        _verify(entry, file, folder / file.path)
    return tuple(folder / file.path for file in entry.files)


def _verify(entry: TestSetEntry, file: FileEntry, path: Path) -> None:
    """Raise :class:`ChecksumError` if a file is not the registered one."""
    digest = sha256_of(path)
    if digest == file.sha256:
        return
    place = (_locate(entry) or ("", None))[0]
    remedy = "" if place in ("packaged", "own files") else "Put the published file there, or take it away. "
    remedy = f"Fetch it again: align-eval testsets fetch {entry.name}" if place == "cache" else remedy + _remedy(entry)
    raise ChecksumError(
        f"sha256 {digest}, but the test set {entry.name!r} is registered with {file.sha256}", file=path,
        remedy=remedy,
    )  # fmt: skip


def _read_gold(entry: TestSetEntry, files: tuple[Path, ...]) -> LinkTable | None:
    file, path = next(
        ((f, p) for f, p in zip(entry.files, files, strict=True) if f.role in ("gold", "sentences+gold")), (None, None)
    )
    if file is None or path is None:
        return None
    table: LinkTable | None
    if file.role == "gold" or not entry.own:
        from align_eval.corpora.linkio import read_links

        named = _bitext(entry, files) if file.role == "gold" and entry.own else None  # matches links by name
        table = read_links(path, format=file.format, base=entry.base, bitext=named)
    else:
        table = _bitext(entry, files).table
    _verify(entry, file, path)  # what has been read is what was registered, not what has come there meanwhile
    if table is None:
        raise FormatError(
            "has no gold links", file=path, remedy=f"Correct the entry {entry.name!r} in {entry.registry}"
        )
    found = {"sentences": table.sentences, "sure links": table.sure_links, "possible links (all of P)": table.links}
    registered = (entry.sentences, entry.sure, entry.possible)
    for (what, number), wanted in zip(found.items(), registered, strict=True):
        if number != wanted:
            raise FormatError(
                f"{number} {what}, but the test set {entry.name!r} is registered with {wanted}", file=path,
                remedy=f"Correct the entry {entry.name!r} in {entry.registry}",
            )  # fmt: skip
    return table


def _bitext(entry: TestSetEntry, files: tuple[Path, ...]) -> Corpus:
    """The sentence pairs of an entry, to be read."""
    from align_eval.corpora.readers import read_bitext

    roles = {f.role: (f, path) for f, path in zip(entry.files, files, strict=True)}
    file, path = roles.get("source") or roles.get("sentences") or roles["sentences+gold"]
    target = roles["target"][1] if "target" in roles else None
    options: dict[str, Any] = {}
    if file.role == "sentences+gold" and entry.own and entry.base and "base=" not in file.format:
        options["base"] = entry.base
    languages = (entry.source_language or None, entry.target_language or None)
    return read_bitext(path, target, format=file.format, languages=languages, **options)


def _read_sentences(entry: TestSetEntry, files: tuple[Path, ...], gold: LinkTable | None) -> list[SentencePair]:
    pairs = _bitext(entry, files).pairs
    path = next(p for f, p in zip(entry.files, files, strict=True) if f.role != "gold")
    for file, one in zip(entry.files, files, strict=True):
        if file.role != "gold":
            _verify(entry, file, one)
    registered = entry.sentences if gold is None else gold.sentences
    if len(pairs) != registered:
        raise LengthMismatchError(
            f"{len(pairs)} sentence pairs, but {'gold links of ' if gold is not None else ''}{registered}", file=path,
            remedy=f"Correct the entry {entry.name!r} in {entry.registry}",
        )  # fmt: skip
    if gold is not None:
        try:
            gold.check_range([len(p.source) for p in pairs], [len(p.target) for p in pairs])
        except LinkRangeError as error:
            raise LinkRangeError(error.message, file=path, line=error.line, remedy=error.remedy) from None
    return pairs
