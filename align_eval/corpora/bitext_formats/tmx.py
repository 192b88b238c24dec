"""TMX 1.1 to 1.4b (Translation Memory eXchange), streamed; entities that a file declares itself are refused."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from xml.parsers import expat

from align_eval.corpora.formats import FORMATS, BitextFormat, Head, Options, Record
from align_eval.corpora.inputs import Input
from align_eval.corpora.lines import encoded, joined
from align_eval.corpora.markup import fault_of
from align_eval.corpora.pair import SentencePair
from align_eval.corpora.rows import languages_remedy
from align_eval.errors import AlignEvalError, EncodingError, FormatError, InputError
from align_eval.files import output_stream, unpacking_errors
from align_eval.first_bytes import utf8_remedy
from align_eval.registry import Option
from align_eval.version import __version__

_SPACE = re.compile(r"[\t\n\r]+")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Elements inside <seg> whose content is code of the original file, not text. <hi> and <seg> itself hold text.
_CODE = frozenset({"bpt", "ept", "it", "ph", "ut", "sub"})


@dataclass
class _Unit:
    line: int
    ident: str | None
    sides: list[tuple[str, str]] = field(default_factory=list)  # (language as written, text)


class _Parser:
    """Feeds bytes to expat and collects finished translation units."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.header_language = ""
        self.done: list[_Unit] = []
        self._path: list[str] = []
        self._open_segments = 0
        self._unit: _Unit | None = None
        self._language = ""
        self._text: list[str] | None = None
        self._code_depth = 0
        self._read = 0  # bytes before the block that is being parsed
        self._expat = expat.ParserCreate()
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.EntityDeclHandler = self._entity_declared
        self._expat.SkippedEntityHandler = self._entity_skipped
        self._expat.ExternalEntityRefHandler = self._entity_external

    def feed(self, block: bytes, last: bool) -> list[_Unit]:
        try:
            self._expat.Parse(block, last)
        except expat.ExpatError as error:
            raise self._not_xml(error, block) from None
        except AlignEvalError:  # of the handlers below
            raise
        except (ValueError, LookupError) as error:  # an encoding that Python does not know or cannot map
            raise EncodingError(f"the encoding cannot be read: {error}", file=self.name, remedy="Use UTF-8") from None
        self._read += len(block)
        if not last and self._read - self._expat.CurrentByteIndex > _MOST_TAG:
            raise self._fail(f"a tag or comment of more than {_MOST_TAG >> 20} MiB", "Mend the file")
        done, self.done = self.done, []
        return done

    def _not_xml(self, error: expat.ExpatError, block: bytes) -> FormatError:
        """The error for what is no XML: bytes that are not of its encoding, or a fault in its form."""
        what = f"not well-formed XML: {expat.ErrorString(error.code)} (column {error.offset + 1})"
        at = self._expat.ErrorByteIndex - self._read
        raw = block[at : at + 4] if at >= 0 else b""
        if error.code in _ENCODING_CODES or (raw[:1] >= b"\x80" and not _is_utf8(raw)):
            remedy = utf8_remedy(block[at:].split(b"\n")[0], 0) if raw[:1] >= b"\x80" else "Use UTF-8"
            return EncodingError(what, file=self.name, line=error.lineno, remedy=remedy)
        remedy = "Mend the file (xmllint --noout shows all faults)"
        if error.code == _INVALID:
            remedy = f"{remedy}; & and < of text are written &amp; and &lt;"
        return FormatError(what, file=self.name, line=error.lineno, remedy=remedy)

    def _fail(self, message: str, remedy: str) -> FormatError:
        return FormatError(message, file=self.name, line=self._expat.CurrentLineNumber, remedy=remedy)

    def _entity_declared(self, name: str, *rest: Any) -> None:
        raise self._fail(
            f"declares the entity {name!r} itself, which can be made to expand without end",
            "Remove the declaration and write the text out",
        )

    def _entity_skipped(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            raise self._fail(f"entity &{name}; is not known", "Write the character itself, or its number as &#160;")

    def _entity_external(self, *rest: Any) -> int:
        raise self._fail("refers to an external entity", "Write its text into the file")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2].lower()
        if not self._path and tag != "tmx":
            raise self._fail(
                f"the root element is <{tag[:40]}>, not <tmx>", "Pass another --bitext-format (format= in Python)"
            )
        self._path.append(tag)
        self._open_segments += tag == "seg"
        if len(self._path) > _MOST_DEPTH:
            raise self._fail(f"elements nested more than {_MOST_DEPTH:,} deep", "Mend the file")
        if self._text is not None:
            self._code_depth += tag in _CODE
        elif tag == "header":
            self.header_language = attributes.get("srclang", "")
        elif tag == "tu":
            if self._unit is not None:
                raise self._fail("<tu> within <tu>", "Mend the file")
            self._unit = _Unit(self._expat.CurrentLineNumber, attributes.get("tuid"))
        elif tag == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang") or ""
            if not self._language:
                raise self._fail("<tuv> without a language", "Give it xml:lang")
        elif tag == "seg" and self._unit is not None:
            self._text = []

    def _end(self, tag: str) -> None:
        tag = self._path.pop()
        self._open_segments -= tag == "seg"
        if self._text is not None:
            if tag in _CODE:
                self._code_depth -= 1
            elif tag == "seg" and not self._open_segments:
                assert self._unit is not None
                self._unit.sides.append((self._language, _SPACE.sub(" ", "".join(self._text))))
                self._text = None
        elif tag == "tu" and self._unit is not None:
            self.done.append(self._unit)
            self._unit = None

    def _characters(self, text: str) -> None:
        if self._text is not None and not self._code_depth:
            self._text.append(text)


# What no TMX file has: each costs more than its size (expat reads an unfinished tag again with each block).
_MOST_DEPTH, _MOST_TAG = 1000, 4 << 20
_ENCODING_CODES = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_UNKNOWN_ENCODING,
        expat.errors.XML_ERROR_INCORRECT_ENCODING,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}
_INVALID = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]


def _is_utf8(raw: bytes) -> bool:
    """Whether some bytes begin with a character of UTF-8."""
    return not raw.decode("utf-8", errors="replace").startswith("\ufffd")


def _matches(language: str, wanted: str) -> bool:
    """``en-US`` and ``EN_us`` match ``en``; ``en`` does not match ``en-US``."""
    have, want = language.lower().replace("_", "-"), wanted.lower().replace("_", "-")
    return have == want or have.startswith(want + "-")


def _side(unit: _Unit, wanted: str, name: str) -> str | None:
    found = [(language, text) for language, text in unit.sides if _matches(language, wanted)]
    exact = [f for f in found if f[0].lower() == wanted.lower()]
    found = exact or found
    if len(found) > 1:
        raise FormatError(
            f"{len(found)} segments of language {wanted!r} in one unit ({', '.join(f[0] for f in found)})", file=name,
            line=unit.line, remedy="Name one exactly (as en-GB), or leave one in the file",
        )  # fmt: skip
    return found[0][1] if found else None


class Tmx(BitextFormat):
    """Translation units with one segment a language; inline tags are left out, their codes too."""

    summary = "a translation memory (XML)"
    options: ClassVar[Mapping[str, Option]] = {
        "source_language": Option(example="en", help="language of the source; en also takes en-US"),
        "target_language": Option(example="de", help="language of the target"),
        "missing": Option(
            default="raise", choices=("raise", "skip"), help="what to do with a unit that lacks one of the languages"
        ),
    }
    write_options: ClassVar[Mapping[str, str]] = {
        "source_language": "language of the source",
        "target_language": "language of the target",
    }

    def detect(self, head: Head) -> float:
        text = head.text.lstrip()
        return 3.0 if text.startswith("<") and re.search(r"<(?:\w+:)?tmx[\s>]", text, re.IGNORECASE) else 0.0

    def records(self, source: Input, target: Input | None, options: Options) -> Iterator[Record]:
        skip = options.get("missing") == "skip"
        languages: tuple[str, str] | None = None
        for unit, header_language in _units(source):
            if languages is None:
                languages = _languages(unit, header_language, options, source.name)
            one, other = _side(unit, languages[0], source.name), _side(unit, languages[1], source.name)
            if one is None or other is None:
                if skip:
                    continue
                lacking = languages[0] if one is None else languages[1]
                raise source.malformed(
                    f"a unit without a segment of language {lacking!r}", unit.line,
                    "Pass --bitext-format tmx:missing=skip (format= in Python) to leave such units out",
                )  # fmt: skip
            for side in (one, other):
                if fault := fault_of(side):
                    raise source.malformed(fault[0], unit.line, fault[1])
            yield unit.ident, one, other, None, unit.line

    def write(self, path: str, target: str | None, pairs: Iterable[SentencePair], options: Options) -> None:
        languages = options.get("source_language"), options.get("target_language")
        if not all(languages):
            raise InputError("TMX names its languages", remedy="Pass source_language and target_language")
        from xml.sax.saxutils import escape, quoteattr  # slow to import: it loads urllib, http and ssl

        one, other = (quoteattr(str(language)) for language in languages)
        with output_stream(path) as out:
            out.write(encoded('<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">', path))
            tool = f'<header creationtool="align-eval" creationtoolversion="{__version__}" segtype="sentence" '
            kind = f'o-tmf="align-eval" adminlang="en" srclang={one} datatype="plaintext"/>\n<body>'
            out.write(encoded(tool + kind, path))
            for pair in pairs:
                sides = [escape(_xml(joined(words, pair.id, "\t"), pair.id)) for words in (pair.source, pair.target)]
                ident = quoteattr(_xml(pair.id, pair.id))
                both = zip((one, other), sides, strict=True)
                unit = "".join(f"<tuv xml:lang={language}><seg>{side}</seg></tuv>" for language, side in both)
                out.write(encoded(f"<tu tuid={ident}>{unit}</tu>", path))
            out.write(encoded("</body>\n</tmx>", path))


def _units(source: Input) -> Iterator[tuple[_Unit, str]]:
    parser = _Parser(source.name)
    with source.open() as stream, contextlib.ExitStack() as stack:
        stack.enter_context(unpacking_errors(source.name))
        while block := stream.read(1 << 16):
            for unit in parser.feed(block, False):
                yield unit, parser.header_language
        for unit in parser.feed(b"", True):
            yield unit, parser.header_language


def _languages(unit: _Unit, header: str, options: Options, name: str) -> tuple[str, str]:
    """The languages asked for; else those of the first unit if it has two, with the header's ``srclang`` as source."""
    source, target = options.get("source_language"), options.get("target_language")
    if source and target:
        return source, target
    have = [language for language, _ in unit.sides]
    if len(have) == 2:
        if source or target:
            others = [x for x in have if not _matches(x, str(source or target))]
            if len(others) == 1:
                return (str(source), others[0]) if source else (others[0], str(target))
        elif have[0].lower() != have[1].lower():
            first = 1 if header and _matches(have[1], header) and not _matches(have[0], header) else 0
            return have[first], have[1 - first]
    raise FormatError(
        f"cannot tell source and target: the first unit has the languages {', '.join(have) or '(none)'}", file=name,
        line=unit.line, remedy=languages_remedy(have),
    )  # fmt: skip


def _xml(text: str, ident: str) -> str:
    """``text``, which XML can hold (it still has to be escaped)."""
    bad = _NOT_XML.search(text)
    if bad:
        raise InputError(
            f"sentence pair {ident!r} holds U+{ord(bad[0]):04X}, which XML cannot hold", remedy="Write JSONL or Parquet"
        )
    return text


FORMATS.register("tmx")(Tmx())
