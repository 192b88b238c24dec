"""A decoder-only model: source and target in one prompt, and the target-to-source block of its self-attention.

A row of causal self-attention is named after its input. So **AWI** is the row of the target token itself, and **AWO**
the row before it, which gives the token out. What a row spends elsewhere (the first token, the prompt, the target so
far) lies outside of the block and is reported with it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from align_eval.corpora.pair import check_sizes
from align_eval.errors import InputError, ModelError, UnknownNameError
from align_eval.models.attention import attention_sites
from align_eval.models.loading_errors import forward_errors
from align_eval.models.pairs import Block, Layout, PairModel
from align_eval.models.tokens import NAMES, Span, readable, span_owners, word_spans

if TYPE_CHECKING:
    from align_eval.corpora import SentencePair


class Decoder(PairModel):
    """Llama, Qwen, Gemma, GPT-2 and their kin. Made by :func:`align_eval.models.load_model`.

    Args:
        template: how a pair is written; ``None``: :data:`align_eval.models.decoder.DEFAULT`.

    Raises:
        ModelError: no self-attention is found, or the tokenizer does not say where its sub-words stand.
    """

    family = "decoder"
    readings = ("awi", "awo")

    def __init__(
        self, name: str, model: Any, tokenizer: Any, *, template: PromptTemplate | None = None, **known: Any
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                f"the tokenizer of {name} ({type(tokenizer).__name__}) does not say where its sub-words stand in the "
                "text, so that they cannot be traced to words",
                remedy="Choose a model with a fast tokenizer (tokenizer.json)",
            )
        self._take(name, model, tokenizer, **known)
        self.template = template or PromptTemplate()
        self.sites = attention_sites(model, "self", name)
        self.layers = len(self.sites)
        config = model.config.get_text_config()
        self.heads = self.adapter.heads(self.sites[0], config)
        self.hidden_size = int(config.hidden_size)
        self.max_length = self.adapter.max_length(tokenizer, model)

    def require_words_out(self) -> None:
        """Check that the model has the layer that gives out words, without which embedding models are published."""
        if not hasattr(self.model, "generate") or self.model.get_output_embeddings() is None:
            raise ModelError(
                f"{self.name} predicts no words: it was published without the layer that gives them out",
                remedy="Choose a model with its language modelling head; this one has vectors and attention",
            )

    def with_template(self, template: PromptTemplate) -> Decoder:
        """The same weights with another prompt."""
        other = copy.copy(self)
        other.template = template
        return other

    def in_languages(self, source: str | None, target: str | None) -> Decoder:
        given: dict[str, Any] = {"source_language": source, "target_language": target}
        unnamed = {key for key in given if getattr(self.template, key) == getattr(PromptTemplate(), key)}
        return self.with_template(replace(self.template, **{key: given[key] for key in unnamed if given[key]}))

    def lay_out(self, pairs: Sequence[SentencePair]) -> list[Layout]:
        """See :class:`PairModel`. ``inputs`` is one sequence; the rows are those of the target's sub-words."""
        check_sizes(pairs)
        prompts = [self.template.render(pair) for pair in pairs]
        encodings = self.tokenizer.backend_tokenizer.encode_batch([p.text for p in prompts], add_special_tokens=True)
        out = []
        for pair, prompt, encoding in zip(pairs, prompts, encodings, strict=True):
            ids = np.array(encoding.ids, dtype=np.int64)
            self.require_length(
                len(ids),
                f"the prompt of pair {pair.id} ({len(pair.source)} source and {len(pair.target)} target words) has "
                f"{len(ids)} sub-words",
                "Take fewer examples into the prompt, split the sentence or leave it out",
            )
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            columns = span_owners(offsets, prompt.source_spans, prompt.text, f"pair {pair.id}", self.name)
            words = span_owners(offsets, prompt.target_spans, prompt.text, f"pair {pair.id}", self.name)
            rows = np.flatnonzero(words >= 0)
            if len(rows) and rows[0] == 0:
                raise ModelError(
                    f"the prompt of pair {pair.id} begins with its target",
                    remedy="Put text or the source in front of {target} in the template",
                )
            labels = readable(self.tokenizer, ids)
            own = tuple(labels[row] for row in rows)
            awi, awo = (Block("target", at, words[rows], own, columns, labels) for at in (rows, rows - 1))
            out.append(Layout(pair, (ids,), {"awi": (awi,), "awo": (awo,)}))
        return out

    @forward_errors()
    def forward(self, layouts: Sequence[Layout]) -> Any:
        return self.model(**self.batch(layouts), use_cache=False)


FIELDS = ("source", "target", "source_language", "target_language")
DEFAULT = "{source_language}: {source}\n{target_language}: {target}\n"
_FIELD = re.compile(r"\{(\w+)\}")


class Prompt(NamedTuple):
    """A prompt, and where each word of the pair stands in it: ``(start, end)`` in characters."""

    text: str
    source_spans: tuple[Span, ...]
    target_spans: tuple[Span, ...]


@dataclass(frozen=True)
class PromptTemplate:
    """How a pair is written.

    Args:
        text: the form of one pair, with ``{source}`` before ``{target}``, each once (a model that reads from left to
            right could not look from the target at a source behind it); ``{source_language}`` and
            ``{target_language}`` as often as wanted. Other braces are text.
        shots: pairs that are written in the same form before it (few-shot); their words are context, not rows.
        separator: what stands between two of them.
        source_language, target_language: codes (``de``) or names (``German``).

    Raises:
        InputError, UnknownNameError: ``text`` has another form, or a field of another name.
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
        return self._write(pair, "".join(self._write(shot).text + self.separator for shot in self.shots))

    def _write(self, pair: SentencePair, text: str = "") -> Prompt:
        """Write a pair after the ``text`` of others."""
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
