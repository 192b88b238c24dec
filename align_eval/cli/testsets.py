"""``align-eval testsets``: list, show, fetch and check the named test sets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from align_eval.cli import _input as inputs
from align_eval.cli import _options as options
from align_eval.shown import shown

if TYPE_CHECKING:
    from align_eval.corpora.fetching import Progress
    from align_eval.corpora.testset_entries import TestSetEntry


def add_to(app: typer.Typer) -> None:
    """Register the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        help="The named test sets: list, show, fetch and check them, add your own. Files are looked for in the folder "
        "that ALIGN_EVAL_DATA names and in the cache; ALIGN_EVAL_TESTSETS names further registry files.",
    )
    group.command("list")(list_testsets)
    group.command("show")(show_testset)
    group.command("fetch")(fetch_testsets)
    group.command("check")(check_testsets)
    options.command(group, name="add")(add_own)
    group.command("remove")(remove_own)
    app.add_typer(group, name="testsets")


def list_testsets(as_json: bool = options.JSON) -> None:
    """List all test sets: languages, counts, licence, and where their files are. "possible" counts all of P."""
    from align_eval.corpora.testset_entries import all_entries

    rows = [_summary(entry) for entry in all_entries().values()]
    if as_json:
        options.print_json(rows)
        return
    table = [("name", "pair", "sentences", "sure", "possible", "files", "licence")]
    table += [
        (
            row["name"], f"{row['source_language'] or '?'}-{row['target_language'] or '?'}",
            *(str(row[key]) for key in ("sentences", "sure", "possible")),
            row["place"] or row["status"], row["licence"] or "-",
        )
        for row in rows
    ]  # fmt: skip
    options.print_columns(table, right=(2, 3, 4))


def show_testset(
    name: str = typer.Argument(help="A test set (see `align-eval testsets list`)."), as_json: bool = options.JSON
) -> None:
    """Show one test set: what it is, how to cite it, its licence, files and checksum."""
    from align_eval.corpora.testset_entries import get_entry

    entry = get_entry(name)
    data = _summary(entry)
    data |= {key: getattr(entry, key) for key in ("title", "version", "base", "checksum", "citation", "notice")}
    keys = ("role", "path", "format", "sha256", "url")
    data["files"] = [{key: getattr(file, key) for key in keys} for file in entry.files]
    if as_json:
        options.print_json(data)
        return
    sides = f"{entry.source_language or '?'} (source) - {entry.target_language or '?'} (target)"
    links = f"{entry.sure} sure and {entry.possible - entry.sure} possible-only links, index base {entry.base}"
    options.print_fields({
        "name": entry.name, "title": entry.title if entry.title != entry.name else "", "languages": sides,
        "size": f"{entry.sentences} sentence pairs, {links}", "licence": entry.licence or "not stated",
        "notice": entry.notice, "cite": entry.citation, "checksum": f"{entry.checksum} (version {entry.version})",
        "found": f"{data['place']}: {data['folder']}" if data["place"] else data["status"],
        "files": [
            part for f in entry.files for part in (f"{f.path} ({f.role}, {f.format})", f"sha256 {f.sha256}", f.url)
        ],
    })  # fmt: skip


def fetch_testsets(
    names: list[str] = typer.Argument(help="Test sets, or `all`."),
    force: bool = typer.Option(False, "--force", help="Download to the cache even if a data folder has the set."),
    timeout: float = typer.Option(30.0, "--timeout", min=0.1, help="Seconds without a sign of the server to wait."),
) -> None:
    """Download test sets to the cache folder. Broken transfers are resumed; every file's sha256 is verified."""
    from align_eval.corpora.testset_entries import get_entry
    from align_eval.corpora.testsets import fetch_testset
    from align_eval.errors import AlignEvalError, DownloadError

    chosen, failed = _chosen(names), []
    for name in chosen:
        entry = get_entry(name)
        if not entry.packaged:
            typer.echo(f"{name}: licence: {entry.licence}" + (f". {entry.notice}" if entry.notice else ""), err=True)
        try:
            files = fetch_testset(name, force=force, timeout=timeout, progress=_progress(name))
        except AlignEvalError as error:
            if len(chosen) == 1:
                raise
            typer.echo(f"{name}: {error}", err=True)
            failed.append(name)
            continue
        for path in files:
            typer.echo(path)
    if failed:
        raise DownloadError(
            f"{len(failed)} of {len(chosen)} test sets could not be fetched: {', '.join(failed)}",
            remedy="See the messages above",
        )


def check_testsets(
    names: list[str] = typer.Argument(help="Test sets, or `all`: those whose files are on this machine."),
    as_json: bool = options.JSON,
) -> None:
    """Verify test sets: sha256 of the files, numbers of sentences and links, range of links. Exit code 1: a fault."""
    from align_eval.corpora.testsets import check_testset

    everything = "all" in names
    checks = [check_testset(name) for name in _chosen(names)]
    if as_json:
        fields = ("name", "status", "place", "problems")
        options.print_json([{name: getattr(check, name) for name in fields} for check in checks])
    else:
        for check in checks:
            typer.echo(shown(f"{check.name}: {check.status}" + (f"  {check.place}" if check.place else "")))
            for problem in check.problems if not everything or check.status != "not fetched" else ():
                typer.echo(shown(f"  {problem}"))
    if any(c.status != "ok" and not (everything and c.status == "not fetched") for c in checks):
        raise typer.Exit(1)


def add_own(
    name: str = typer.Argument(help="Letters, digits, '.', '_' and '-'."),
    *,
    data: inputs.GoldPairs,
    source_language: str = typer.Option("", help="ISO 639-1 code of the source, such as de."),
    target_language: str = typer.Option("", help="ISO 639-1 code of the target."),
    title: str = typer.Option("", help="What it is, in a few words."),
    citation: list[str] = typer.Option([], help="A reference to cite; may be given several times."),
    licence: str = typer.Option("", help="Its licence."),
    replace: bool = typer.Option(False, "--replace", help="Put it in the place of your set of that name."),
) -> None:
    """Register a test set of your own: every command then takes its name. The files stay where they are.

    Numbers and checksums are made now and compared at each use.
    """
    files = data.files()
    if not files:
        raise typer.BadParameter("give --bitext, or --source with --target")
    from align_eval.corpora.testsets import add_testset

    entry = add_testset(
        name, files[0], data.gold, target=files[1] if len(files) == 2 else None, format=data.bitext_format,
        gold_format=data.gold_format, gold_base=data.gold_base, source_language=source_language,
        target_language=target_language, title=title, citation=tuple(citation), licence=licence, replace=replace,
    )  # fmt: skip
    links = f"{entry.sure} sure and {entry.possible - entry.sure} possible-only links, index base {entry.base}"
    without = all(f.role not in ("gold", "sentences+gold") for f in entry.files)
    told = "no gold links" if without else links
    typer.echo(shown(f"{entry.name}: {entry.sentences} sentence pairs, {told}; registered in {entry.registry}"))


def remove_own(name: str = typer.Argument(help="A test set that you added.")) -> None:
    """Take a test set of your own out of its registry; its files stay."""
    from align_eval.corpora.testsets import remove_testset

    typer.echo(shown(f"{name}: removed from {remove_testset(name)}"))


def _chosen(names: list[str]) -> list[str]:
    from align_eval.corpora.testset_entries import all_entries, get_entry

    return list(all_entries()) if "all" in names else list(dict.fromkeys(get_entry(n).name for n in names))


def _summary(entry: TestSetEntry) -> dict[str, Any]:
    from align_eval.corpora.testsets import locate_testset

    found = locate_testset(entry.name)
    keys = ("name", "source_language", "target_language", "sentences", "sure", "possible", "licence")
    return {
        **{key: getattr(entry, key) for key in keys},
        "status": "found" if found else "not fetched" if entry.fetchable else "missing",
        "place": found[0] if found else None,
        "folder": str(found[1]) if found else None,
    }


def _progress(name: str) -> Progress | None:
    """A line on standard error that follows the download, where standard error is a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(have: int, total: int | None) -> None:
        end = "\n" if have == total else ""
        sys.stderr.write(f"\r{name}: {have:,} bytes" + (f" of {total:,}" if total else "") + end)
        sys.stderr.flush()

    return show
