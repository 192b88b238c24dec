"""Languages by code and name, and the language codes of a translation model's tokenizer.

Marian: ``>>de<<`` in front of the source. M2M100: ``__de__`` in front of both sides. NLLB: ``deu_Latn``, mBART:
``de_DE`` at the end of both sides (mBART-50 and NLLB: in front). T5: words of a task in front of the source.
"""

from __future__ import annotations

import re
from typing import Any

from align_eval.errors import InputError, nearest_names

_TABLE = """
ar arb Arabic
bg bul Bulgarian
bn ben Bengali
cs ces Czech
da dan Danish
de deu German
el ell Greek
en eng English
es spa Spanish
et est Estonian
fa pes Persian
fi fin Finnish
fr fra French
he heb Hebrew
hi hin Hindi
hr hrv Croatian
hu hun Hungarian
id ind Indonesian
is isl Icelandic
it ita Italian
ja jpn Japanese
ko kor Korean
lt lit Lithuanian
lv lvs Latvian
nl nld Dutch
no nob Norwegian
pl pol Polish
pt por Portuguese
ro ron Romanian
ru rus Russian
sk slk Slovak
sl slv Slovenian
sr srp Serbian
sv swe Swedish
th tha Thai
tr tur Turkish
uk ukr Ukrainian
ur urd Urdu
vi vie Vietnamese
zh zho Chinese
"""
_ROWS = [line.split(" ") for line in _TABLE.strip().split("\n")]
ISO3 = {code: iso3 for code, iso3, _ in _ROWS}
NAMES = {code: name for code, _, name in _ROWS}


_SPECIAL = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")


def language_codes(tokenizer: Any) -> dict[str, str]:
    """The language codes that a tokenizer knows, each with the sub-word that stands for it; empty if it has none."""
    vocabulary = getattr(tokenizer, "supported_language_codes", None)  # Marian
    if vocabulary:
        return {code.removeprefix(">>").removesuffix("<<"): code for code in vocabulary}
    by_code = getattr(tokenizer, "lang_code_to_token", None)  # M2M100
    if by_code:
        return {str(code): str(token) for code, token in by_code.items()}
    if not hasattr(tokenizer, "set_tgt_lang_special_tokens"):
        return {}
    unknown = tokenizer.unk_token_id
    known = {str(t) for t in (*tokenizer.all_special_tokens, *getattr(tokenizer, "lang_code_to_id", ()))}
    known |= {str(token) for token in tokenizer.get_added_vocab()}
    return {
        code: code
        for code in sorted(known)
        if _SPECIAL.fullmatch(code) and tokenizer.convert_tokens_to_ids(code) not in (None, unknown)
    }


def resolve_code(codes: dict[str, str], wanted: str | None, side: str, model: str) -> str:
    """The code among ``codes`` that ``wanted`` means: itself, or the one that begins with it (``de``: ``de_DE``).

    Args:
        codes: of :func:`language_codes`.
        wanted: as the user named it; ``None``: not named.
        side: ``"source"`` or ``"target"``.
        model: its name, for messages.

    Raises:
        InputError: none is named, none fits, or several do; the remedy lists the nearest.
    """
    option = f"{side}_language (--{side}-language)"
    if not wanted:
        some = ", ".join(sorted(codes)[:6])
        raise InputError(
            f"{model} translates between several languages and the {side} language is not named",
            remedy=f"Give {option}: one of {some}{', ...' if len(codes) > 6 else ''} ({len(codes)} in all)",
        )
    plain = wanted.removeprefix(">>").removesuffix("<<").strip("_") if wanted not in codes else wanted
    if plain in codes:
        return plain
    lower = plain.lower().replace("-", "_")
    fit = [code for code in codes if code.lower() == lower]
    for start in (lower, ISO3.get(lower, lower)):
        fit = fit or [code for code in sorted(codes) if code.lower().startswith(start + "_")]
    if not fit and ISO3.get(lower, "") in codes:
        fit = [ISO3[lower]]
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise InputError(
            f"the {side} language {wanted!r} means several codes of {model}",
            remedy=f"Give {option}: one of {', '.join(fit)}",
        )
    near = list(
        dict.fromkeys([*nearest_names(plain, codes), *[c for c in sorted(codes) if c[:2].lower() == lower[:2]]])
    )
    listed = near[:5] or sorted(codes)[:5]
    raise InputError(
        f"{model} has no language code {wanted!r} for the {side} side",
        remedy=f"Give {option}: one of {len(codes)} codes; the nearest are {', '.join(listed)}",
    )
