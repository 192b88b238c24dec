"""What stands in a text file beside its sentences and is no word: numbers, ``<s snum=1>``, ``<seg id=1>``, tabs.

A file of sentences is of one of these kinds, told by all lines of its beginning:

- ``plain``: a line is a sentence;
- ``numbered``: ``number TAB sentence`` (the samples of simalign);
- ``listed``: ``[1] sentence``, ``(1) sentence``, ``1. sentence``, ``1: sentence``, numbers in order from 0 or 1;
- ``s``: ``<s snum=0001> sentence </s>`` (WPT 2003), or ``<s> sentence </s>``;
- ``seg``: SGML or XML of the WMT and IWSLT test sets, ``<seg id="1"> sentence </seg>`` within ``<doc>``.

The numbers are the names of the sentences. In a plain file a tab, a carriage return, a ``|||`` that stands alone and a
tag of markup are errors: none of them is ever a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from align_eval.corpora.inputs import Input
from align_eval.errors import FormatError

# (line from 1, name of the sentence or None, its text)
Sentence = tuple[int, "str | None", str]

_NUMBERED = re.compile(r"[ ]*([0-9]{1,10})[ ]*\t(.*)", re.DOTALL)
_LISTED = re.compile(r"\s*(?:\[([0-9]+)\]|\(([0-9]+)\)|#?([0-9]+)[.):]|#([0-9]+))(?:\s+(.*))?", re.DOTALL)
_COUNTED = re.compile(r" *([0-9]+) +\S")
_S = re.compile(r"\s*<s(?:\s+(?:snum|id|num)\s*=\s*[\"']?([^\s\"'>]+)[\"']?)?\s*>(.*?)(?:</s>)?\s*", re.I | re.DOTALL)
_SEG = re.compile(r"<seg\b([^<>]*)>(.*?)(</seg>|$)", re.I | re.DOTALL)
_DOC = re.compile(r"<doc\b([^<>]*)>", re.I)
_HEAD_SEG = re.compile(r"\s*(?:<\?xml|<!doctype|<(?:srcset|refset|tstset|mteval|dataset|doc|seg)\b)", re.I)
_TAGS = re.compile(r"\s*(?:<[^<>]*>\s*)*")
_BOTH_SIDES = re.compile(r"<(?:src|ref|hyp)\s", re.I)
_ENTITY = re.compile(r"&(amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
# Tags of corpora that never stand at the beginning of a sentence as a word.
_MARKUP = re.compile(
    r"(?:^|\t|\|\|\| )\s*(</?(?:s|seg|doc|srcset|refset|tstset|hl|chapter|speaker|url|keywords|talkid|translator|"
    r"reviewer)(?:\s[^<>]*)?/?>|</?p>\s*$)",
    re.I,
)


def kind_of(lines: Sequence[str]) -> str:
    """``plain``, ``numbered``, ``s`` or ``seg``: what a file is by the lines of its beginning."""
    if lines and _HEAD_SEG.match(lines[0]) and any(_SEG.search(line) for line in lines):
        return "seg"
    if lines and all(_S.fullmatch(line) for line in lines):
        return "s"
    numbers = [found[1] for line in lines if (found := _NUMBERED.fullmatch(line))]
    if numbers and len(numbers) == len(lines) and len({int(number) for number in numbers}) == len(numbers):
        return "numbered"
    listed = [int(_listed(found)[0]) for line in lines if (found := _LISTED.fullmatch(line))]
    if len(lines) > 1 and listed in (list(range(len(lines))), list(range(1, len(lines) + 1))):
        return "listed"
    return "plain"


def _listed(found: re.Match[str]) -> tuple[str, str]:
    """The number and the sentence of a line of a listed file."""
    return next(number for number in found.groups()[:4] if number is not None), found[5] or ""


def is_counted(lines: Sequence[str]) -> bool:
    """Whether lines of a plain file begin with 1, 2, 3, ... and a space, which are most likely no words."""
    numbers = [int(found[1]) for line in lines if (found := _COUNTED.match(line))]
    return len(lines) > 2 and numbers in (list(range(len(lines))), list(range(1, len(lines) + 1)))


_NOTES = {
    "listed": "numbered sentences ({}): the numbers are read as names, not as words",
    "numbered": "'number TAB sentence': the numbers are read as names of the sentences, not as words",
    "s": "<s> markup: the tags are left out, their numbers are read as names of the sentences",
    "seg": "SGML or XML: the text of each <seg> is read, its id as the name of the sentence",
}


def note_of(kind: str, name: str, lines: Sequence[str]) -> str | None:
    """What a user should know of how a file of this kind, with these first lines, is read, or ``None``."""
    if kind == "plain":
        counted = "each line begins with its number, which is read as a word; leave it out: cut -d' ' -f2-"
        return f"{name}: {counted}" if is_counted(lines) else None
    return f"{name}: {_NOTES[kind].format(*lines[0].split()[:1])}"


def sentences(source: Input, kind: str) -> Iterator[Sentence]:
    """The sentences of a file with the lines that they stand in and the names that the file gives them."""
    if kind == "plain":
        for number, line in source.lines(check_lines):
            yield number, None, line
        return
    seen: dict[str, int] = {}
    for number, name, text in _segments(source) if kind == "seg" else _lines(source, kind):
        if name is not None:
            if name in seen:
                raise source.malformed(
                    f"sentence {name!r} again, first in line {seen[name]}", number,
                    "Give each sentence a number of its own",
                )  # fmt: skip
            seen[name] = number
        if fault := fault_of(text):
            raise source.malformed(fault[0], number, fault[1])
        yield number, name, text


def _lines(source: Input, kind: str) -> Iterator[Sentence]:
    form, what = {
        "numbered": (_NUMBERED, "number TAB sentence"),
        "listed": (_LISTED, "number. sentence"),
        "s": (_S, "<s snum=...> sentence </s>"),
    }[kind]
    for number, line in source.lines():
        found = form.fullmatch(line)
        if found is None:
            raise source.malformed(f"a line that is not '{what}', as those before it are", number, "Mend the line")
        yield number, *(_listed(found) if kind == "listed" else (found[1], found[2]))


def _segments(source: Input) -> Iterator[Sentence]:
    """The ``<seg>`` elements, named by their id, with that of the document before it where ids repeat."""
    found: list[tuple[int, str, str | None, str]] = []
    document = ""
    for number, line in source.lines():
        rest, at = [], 0
        if _BOTH_SIDES.search(line):
            raise source.malformed(
                "XML that holds sources and references in one file", number,
                "Write the sources and the references to two files, one sentence a line",
            )  # fmt: skip
        for doc in _DOC.finditer(line):
            document = _attribute(doc[1], "docid") or _attribute(doc[1], "id") or ""
        for seg in _SEG.finditer(line):
            if not seg[3]:
                raise source.malformed("a <seg> that does not end in its line", number, "Write each <seg> in one line")
            found.append((number, document, _attribute(seg[1], "id"), _plain(seg[2])))
            rest.append(line[at : seg.start()])
            at = seg.end()
        rest.append(line[at:])
        if not line.lower().lstrip().startswith("<hl>") and not all(_TAGS.fullmatch(piece) for piece in rest):
            raise source.malformed("text outside of <seg>", number, "Put each sentence into a <seg>")
    ids = [ident for _, _, ident, _ in found]
    alone = len(set(ids)) == len(ids)
    for number, document, ident, text in found:
        yield number, ident if alone or ident is None or not document else f"{document}:{ident}", text


def _attribute(text: str, name: str) -> str | None:
    found = re.search(rf"\b{name}\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", text, re.I)
    return next((value for value in found.groups() if value is not None), None) if found else None


def _plain(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        name = found[1]
        if name in _ENTITIES:
            return _ENTITIES[name]
        code = int(name[2:], 16) if name[1] == "x" else int(name[1:])
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else found[0]

    return _ENTITY.sub(character, text).strip(" ")


def fault_of(text: str, *, tabs: bool = True, bars: bool = True) -> tuple[str, str] | None:
    """What in a sentence is no word, and the remedy; ``None`` if there is nothing."""
    if tabs and "\t" in text:
        if _NUMBERED.fullmatch(text):
            return f"a number and a tab before a sentence ({_shown(text)})", "Leave the numbers out (cut -f2-)"
        return (
            f"a tab within a sentence ({_shown(text)})",
            "Words are separated by spaces: replace the tab (tr '\\t' ' '), or take the column of sentences (cut -f2)",
        )
    if "\r" in text:
        return f"a carriage return within a line ({text[:20]!r})", "Make line ends of them (tr '\\r' '\\n')"
    if bars and "|||" in text and "|||" in re.split("[ \t]", text):
        return (
            f"a ||| that stands alone ({_shown(text)})",
            "It separates the sides of a file of pairs (--bitext FILE); replace it where it is meant as a word",
        )
    if "<" in text and (tag := _MARKUP.search(text)):
        return f"markup ({tag[1][:40]}), which is no word", "Leave the tags out (sed 's/<[^>]*>//g')"
    return None


def _shown(text: str) -> str:
    at = max(0, min(k for k in (text.find("\t"), text.find("|||")) if k >= 0) - 10)
    return repr(text[at : at + 24])


def checker(*marks: bytes, tabs: bool, bars: bool) -> Callable[[bytes, int, str], None]:
    """A check of blocks of lines that costs a search for each of ``marks``, and more only where one is found."""

    def check(block: bytes, before: int, name: str) -> None:
        if not any(mark in block for mark in marks) and not block.startswith(b"<"):
            return
        for number, raw in enumerate(block.split(b"\n"), before + 1):
            if fault := fault_of(raw.decode("utf-8", errors="replace"), tabs=tabs, bars=bars):
                raise FormatError(fault[0], file=name, line=number, remedy=fault[1])

    return check


#: For lines that are one sentence, for ``source ||| target``, and for cells between tabs.
check_lines = checker(b"\t", b"\r", b"|||", b"\n<", tabs=True, bars=True)
check_piped = checker(b"\t", b"\r", b"\n<", b"||| <", tabs=True, bars=False)
check_cells = checker(b"\r", b"|||", b"\n<", b"\t<", tabs=False, bars=True)


def check_sentence(text: str) -> None:
    """Raise :class:`FormatError` if something in a sentence is no word: a tab, a ``|||`` alone, markup."""
    if ("\t" in text or "\r" in text or "|||" in text or text.startswith("<")) and (fault := fault_of(text)):
        raise FormatError(fault[0], remedy=fault[1])


def same_name(one: str | None, other: str | None) -> bool:
    """Whether two names are one: equal, equal as numbers, or one side has none.

    >>> same_name("0001", "1"), same_name("2", "3"), same_name(None, "3")
    (True, False, True)
    """
    if one is None or other is None or one == other:
        return True
    return one.isdecimal() and other.isdecimal() and int(one) == int(other)


def first_lines(lines: Iterable[str]) -> list[str]:
    """The lines of a head without empty ones at its end."""
    found = list(lines)
    while found and not found[-1].strip():
        found.pop()
    return found
