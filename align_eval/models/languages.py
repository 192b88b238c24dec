"""Frequent languages: ISO 639-1 code, ISO 639-3 code (as NLLB's codes begin), English name."""

from __future__ import annotations

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
