"""A prompt that puts a sentence and its translation into one context, for models that only continue text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align_eval.errors import InputError, UnknownNameError
from align_eval.models.languages import NAMES
from align_eval.models.spans import Span, word_spans

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair

FIELDS = ("source", "target", "source_language", "target_language")
DEFAULT = "{source_language}: {source}\n{target_language}: {target}\n"
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """A prompt with the character spans of its words.

    Attributes:
        text: the whole.
        source_spans, target_spans: ``(start, end)`` of each word of the pair in ``text``.
    """

    text: str
    source_spans: tuple[Span, ...]
    target_spans: tuple[Span, ...]


@dataclass(frozen=True)
class PromptTemplate:
    """How a pair is written.

    Args:
        text: the form of one pair, with ``{source}`` before ``{target}``, each once; ``{source_language}`` and
            ``{target_language}`` as often as wanted. Other braces are text.
        shots: pairs that are written in the same form before it (few-shot); their words are context, not rows.
        separator: what stands between two of them.
        source_language, target_language: codes (``de``) or names (``German``).

    Raises:
        InputError: ``{source}`` or ``{target}`` is missing, stands twice, or the target comes first: a model that
            reads from left to right could then not look from the target at the source.
        UnknownNameError: a field of another name.
    """

    text: str = DEFAULT
    shots: tuple[SentencePair, ...] = ()
    separator: str = "\n"
    source_language: str = "Source"
    target_language: str = "Target"

    def __post_init__(self) -> None:
        fields = _FIELD.findall(self.text)
        for field in fields:
            if field not in FIELDS:
                raise UnknownNameError("field of a prompt template", field, FIELDS)
        if fields.count("source") != 1 or fields.count("target") != 1:
            raise InputError(
                f"the prompt template has {fields.count('source')} {{source}} and {fields.count('target')} {{target}}",
                remedy="Write each exactly once",
            )
        if fields.index("target") < fields.index("source"):
            raise InputError(
                "the prompt template has {target} before {source}",
                remedy="Put {source} first: a decoder-only model sees only what stands to the left",
            )

    def render(self, pair: SentencePair) -> Prompt:
        """Write a pair; words are joined by single spaces."""
        context = "".join(self._write(shot).text + self.separator for shot in self.shots)
        own = self._write(pair)
        by = len(context)
        return Prompt(
            context + own.text,
            tuple((a + by, b + by) for a, b in own.source_spans),
            tuple((a + by, b + by) for a, b in own.target_spans),
        )

    def _write(self, pair: SentencePair) -> Prompt:
        text = ""
        spans: dict[str, tuple[Span, ...]] = {}
        last = 0
        for match in _FIELD.finditer(self.text):
            text += self.text[last : match.start()]
            last = match.end()
            if match[1] in ("source", "target"):
                words = pair.source if match[1] == "source" else pair.target
                spans[match[1]] = word_spans(words, len(text))
                text += " ".join(words)
            else:
                code = self.source_language if match[1] == "source_language" else self.target_language
                text += NAMES.get(code.lower(), code)
        return Prompt(text + self.text[last:], spans["source"], spans["target"])
