"""Languages by code and name, and the code of a tokenizer that a name means."""

from __future__ import annotations

from align_eval.errors import InputError, nearest_names

_TABLE = """
ar arb Arabic, bg bul Bulgarian, bn ben Bengali, cs ces Czech, da dan Danish, de deu German, el ell Greek, en eng
English, es spa Spanish, et est Estonian, fa pes Persian, fi fin Finnish, fr fra French, he heb Hebrew, hi hin Hindi,
hr hrv Croatian, hu hun Hungarian, id ind Indonesian, is isl Icelandic, it ita Italian, ja jpn Japanese, ko kor
Korean, lt lit Lithuanian, lv lvs Latvian, nl nld Dutch, no nob Norwegian, pl pol Polish, pt por Portuguese, ro ron
Romanian, ru rus Russian, sk slk Slovak, sl slv Slovenian, sr srp Serbian, sv swe Swedish, th tha Thai, tr tur
Turkish, uk ukr Ukrainian, ur urd Urdu, vi vie Vietnamese, zh zho Chinese
"""
_ROWS = [row.split() for row in _TABLE.split(",")]
ISO3 = {code: iso3 for code, iso3, _ in _ROWS}
NAMES = {code: name for code, _, name in _ROWS}


def resolve_code(codes: dict[str, str], wanted: str | None, side: str, model: str) -> str:
    """The code among ``codes`` that ``wanted`` means: itself, or the one that begins with it (``de``: ``de_DE``).

    ``codes`` are of :meth:`align_eval.models.adapters.Adapter.language_codes`; ``side`` is ``"source"`` or
    ``"target"``. Raises :class:`InputError` if none is named, none fits, or several do; the remedy lists the nearest.
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
    near = dict.fromkeys([*nearest_names(plain, codes), *(c for c in sorted(codes) if c[:2].lower() == lower[:2])])
    listed = [*near][:5] or sorted(codes)[:5]
    raise InputError(
        f"{model} has no language code {wanted!r} for the {side} side",
        remedy=f"Give {option}: one of {len(codes)} codes; the nearest are {', '.join(listed)}",
    )
