"""Whether the first line of a file names its columns: ``source TAB target``, ``en TAB de``, ``English;German``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from align_eval.corpora.formats import Options
from align_eval.errors import FormatError
from align_eval.registry import Option

#: The option of readers whose files may begin with a line of names.
HEADER = Option(default="auto", choices=("yes", "no", "auto"), help="whether the first line names the columns")

#: Names of the columns of source and target, most usual first.
SIDES = (
    ("source", "target"), ("src", "tgt"), ("src", "trg"), ("src", "ref"), ("source", "reference"),
    ("source", "translation"), ("sentence1", "sentence2"), ("source_sentence", "target_sentence"),
    ("source_text", "target_text"), ("original", "translation"), ("l1", "l2"),
)  # fmt: skip
#: Names of a column of sentence names, and of columns of links.
IDS = ("id", "sentence_id", "sent_id", "pair_id", "idx", "index", "number", "nr", "line")
LINKS = ("links", "alignment", "alignments", "alignment_links", "align", "word_alignment", "gold", "sure")
POSSIBLE = ("possible", "possible_links")
_SIDES = frozenset(name for pair in SIDES for one in pair for name in one.split("_")) - {"sentence", "text"}
_WORD_LISTS = """
sentence sentences text segment tokens words tokenized tokenised lang language

aa ab af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cv cy da de dv dz ee el en eo es et eu fa
ff fi fj fo fr fy ga gd gl gn gu gv ha he hi hr ht hu hy ia id ie ig ii ik io is it iu ja jv ka kg ki kk kl km kn ko kr
ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os
pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr
ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu cz eng deu ger fra fre spa ita por nld dut rus pol ces cze ron
rum jpn zho chi cmn kor arb ara heb hin fin swe dan nob nor ell gre tur ukr hun bul hrv srp slk slo slv lit lvs lav est
vie tha ind isl ice pes fas per urd

arabic basque bengali bulgarian catalan chinese croatian czech danish dutch english estonian finnish french galician
german greek hebrew hindi hungarian icelandic indonesian inuktitut irish italian japanese khmer korean lao latin latvian
lithuanian malay norwegian persian polish portuguese romanian russian serbian slovak slovene slovenian spanish swahili
swedish tamil thai turkish ukrainian urdu vietnamese welsh
deutsch englisch französisch français anglais allemand español inglés italiano

no ja si da so it is he my to am or as an id ne la de el se sa te mi io na
"""
# Other parts of names of columns; codes; names of languages; codes that are short sentences too (``no TAB ja``).
_MORE, _CODES, _LANGUAGES, _WORDS = (frozenset(part.split()) for part in _WORD_LISTS.split("\n\n"))


def language_of(cell: str) -> bool:
    """Whether a cell is a language's code or name: ``de``, ``en-US``, ``deu_Latn``, ``German``."""
    text = cell.strip().lower()
    return text in _LANGUAGES or (
        re.fullmatch(r"[a-z]{2,3}(?:[-_](?:[a-z]{2}|[a-z]{4}|[0-9]{3}))?", text) is not None
        and re.split("[-_]", text)[0] in _CODES
    )


def is_header(cells: Sequence[str], name: str, option: str) -> bool:
    """Whether ``cells``, the first line of the file ``name``, are names of columns and not a sentence pair."""
    texts = [plain(cell) for cell in cells]
    if len(texts) < 2 or len(set(texts)) < len(texts) or not any(texts):
        return False
    if any(one in texts and other in texts for one, other in SIDES):
        return True
    places = sides_of(cells)
    if places is None or not all(_is_side(texts[place]) for place in places):
        return False
    if all(texts[place] in _WORDS for place in places):
        raise FormatError(
            f"the first line ({' '.join(texts)}) may be names of languages or a sentence pair", file=name, line=1,
            remedy=f"Pass {option}yes or {option}no (format= in Python)",
        )  # fmt: skip
    return True


def plain(cell: str) -> str:
    """A column's name as names are compared: lower case, ``_`` between its parts."""
    return re.sub(r"[\s_]+", "_", cell.strip().lower())


def _is_side(text: str) -> bool:
    """Whether a name is that of a side: a language, ``source``, ``en_sentence``, ``sentence (de)``."""
    parts = [part for part in re.split(r"[_\-()/.]+", text) if part]
    sides = [part in _SIDES or language_of(part) for part in parts]
    return language_of(text) or (
        any(sides) and len(parts) <= 3 and all(side or part in _MORE for side, part in zip(sides, parts, strict=True))
    )


def sides_of(header: Sequence[str]) -> tuple[int, int] | None:
    """The places of the columns of source and target among the names ``header``, where these say so.

    >>> sides_of(["id", "src", "tgt"]), sides_of(["en", "de", "links"]), sides_of(["a", "b", "c"])
    ((1, 2), (0, 1), None)
    """
    texts = [plain(cell) for cell in header]
    for one, other in SIDES:
        if one in texts and other in texts:
            return texts.index(one), texts.index(other)
    known = {*IDS, *LINKS, *POSSIBLE}
    left = [k for k, text in enumerate(texts) if text not in known]
    return (left[0], left[1]) if len(left) == 2 else None


def place_of(header: Sequence[str], names: Sequence[str]) -> int | None:
    """The place of the first column that has one of ``names``."""
    texts = [plain(cell) for cell in header]
    return next((texts.index(name) for name in names if name in texts), None)


def has_header(cells: Sequence[str], options: Options, name: str, format: str) -> bool:
    """Whether the first line of the file ``name``, of the format ``format``, is a header, as the options say or not."""
    asked = options.get("header", "auto")
    return asked == "yes" or (asked == "auto" and is_header(cells, name, f"--bitext-format {format}:header="))
