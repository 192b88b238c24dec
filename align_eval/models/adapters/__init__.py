"""All that the package knows of single architectures: one file each, registered by its ``model_type``.

Most have none: :class:`Adapter` finds attention modules, blocks and positions in the modules themselves, and
:mod:`align_eval.models.linear` projections, norms and residual connections by the numbers of a short pass. To add the
facts that differ, write a subclass under ``@ADAPTERS.register("model-type")``, and name the architecture in
``tests/models/architectures.py``: the tests of parity run over all that stand there.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.errors import ModelError
from align_eval.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

Segment = Callable[[Sequence[str]], Sequence[Sequence[str]]]
"""Gives the pieces of each of some words."""

KINDS = ("self", "cross", "decoder-self", "encoder-self")
_LANGUAGE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")


class Adapter:
    """An architecture of which nothing is known by name.

    Attributes:
        bert_blocks: whether the blocks of an encoder bear BERT's names and normalise after each sum, so that
            :mod:`align_eval.models.cpu` may compute them.
        one_way: whether the encoder of a translation model was trained on source sentences alone.
        tagged_source: whether a tag in front of the source names the target language, and nothing the source language.
        translates_without_mask: whether models as published have no mask token, so that one that has it fills masks.
        cross: paths within a block that attention to another stack has.
        projection: names of modules that give an attention module its queries.
    """

    bert_blocks = False
    one_way = False
    tagged_source = False
    translates_without_mask = False
    cross = re.compile(r"encoder_attn|EncDecAttention|cross_?attn|cross_?attention|encoder_attention", re.IGNORECASE)
    projection = re.compile(
        r"q|q_proj|query|q_lin|query_key_value|c_attn|Wqkv|qkv_proj|in_proj|query_proj|q_[ab]_proj|Wq|project_q"
    )

    def prepare(self, model: Any) -> None:
        """Make a freshly loaded model of ``transformers`` readable, in place. What it computes stays the same."""

    # Attention.

    def attention_modules(self, model: Any, kind: str, name: str) -> list[nn.Module]:
        """See :func:`align_eval.models.attention.attention_sites`."""
        if kind not in KINDS:
            raise ModelError(f"unknown kind of attention {kind!r}", remedy=f"Choose one of {', '.join(KINDS)}")
        both: bool = bool(getattr(model.config, "is_encoder_decoder", False))
        if kind != "self" and not both:
            raise ModelError(
                f"{name} ({model.config.model_type}) is no encoder-decoder model and has no {kind} attention",
                remedy="Read the source-target block of its self-attention: readings awi and awo of a decoder-only "
                "model, block of an encoder",
            )
        if kind == "self" and both:
            raise ModelError(
                f"{name} is an encoder-decoder model: its self-attention is that of the encoder or of the decoder",
                remedy="Ask for cross, encoder-self or decoder-self attention",
            )
        stack: Any = model
        if kind == "encoder-self":
            stack = model.get_encoder()
        elif both or (hasattr(model.config, "text_config") and hasattr(model, "get_decoder")):
            stack = model.get_decoder()
        some = ""
        for blocks in _block_lists(stack):
            found = [self.attention_of(block, cross=kind == "cross") for block in blocks]
            there = [site for site in found if site is not None]
            if len(there) == len(found):
                return there
            if there and not some:
                some = f": {len(there)} of its {len(found)} blocks have one"
        raise ModelError(
            f"no {kind} attention is found in the modules of {name} ({model.config.model_type}){some}",
            remedy="Choose a model whose blocks hold an attention module with query, key and value projections",
        )

    def attention_of(self, block: nn.Module, *, cross: bool) -> nn.Module | None:
        """The innermost attention module of a block: a class named so that has projections among its own children."""
        for path, module in block.named_modules():
            if "attention" not in type(module).__name__.lower() or bool(self.cross.search(path)) != cross:
                continue
            children = module.named_children()
            if any(hasattr(child, "weight") and self.projection.fullmatch(name) for name, child in children):
                return module
        return None

    def heads(self, site: nn.Module, config: Any) -> int:
        """The heads of an attention module: what it says, which may be fewer than its configuration's number.

        ``config`` is of the stack that it is in (of an encoder-decoder model: its decoder).
        """
        for own in ("num_attention_heads", "num_heads", "n_heads", "n_head", "num_attn_heads"):
            count = getattr(site, own, None)
            if isinstance(count, int) and count > 0:
                return count
        config = config.get_text_config()
        both = getattr(config, "is_encoder_decoder", False)
        given = getattr(config, "decoder_attention_heads", None) if both else None
        return int(given or config.num_attention_heads)

    # Stacks.

    def blocks(self, stack: nn.Module, layers: int) -> nn.ModuleList | None:
        """The blocks of a stack: the first list of ``layers`` modules of one class, if there is one."""
        for blocks in _block_lists(stack):
            if len(blocks) == layers and len({type(module) for module in blocks}) == 1:
                return blocks
        return None

    def body(self, model: Any) -> Any:
        """The stack below the layer that gives out words."""
        body = model.base_model
        return model.get_decoder() if body is model else body

    def max_length(self, tokenizer: Any, *stacks: Any) -> int:
        """The tokens that fit, special ones counted: the least of the tokenizer's number and those of the stacks."""
        from torch import nn

        limits = [int(tokenizer.model_max_length)]
        for stack in stacks:
            config = getattr(stack, "config", None)
            positions = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
            if not isinstance(positions, int) or positions < 1:
                continue
            for name, module in stack.named_modules():
                if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
                    # RoBERTa and its kin number positions from padding_idx + 1: 514 rows hold 512 tokens.
                    positions = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
            limits.append(positions)
        return min(limit for limit in limits if limit > 0)

    def shifted(self, model: Any, labels: torch.Tensor, pad: int, name: str) -> torch.Tensor:
        """The decoder's input for ``labels`` ``(B, T)``, moved right by the model's own function."""
        prepare = getattr(model, "prepare_decoder_input_ids_from_labels", None)
        if prepare is not None:
            return prepare(labels=labels)
        shift = getattr(sys.modules[type(model).__module__], "shift_tokens_right", None)
        if shift is None:
            raise ModelError(
                f"how {name} moves its targets right is not known",
                remedy="Choose a Marian, M2M100, NLLB, mBART, BART or T5 model",
            )
        start = (model.config.decoder_start_token_id,)
        return shift(labels, pad, *start[: len(inspect.signature(shift).parameters) - 2])

    # Tokenizers.

    def language_codes(self, tokenizer: Any) -> dict[str, str]:
        """The language codes that a tokenizer knows, each with the token that stands for it; empty if it has none.

        NLLB: ``deu_Latn``, mBART: ``de_DE``, at the end of both sides (mBART-50 and NLLB: in front).
        """
        if not hasattr(tokenizer, "set_tgt_lang_special_tokens"):
            return {}
        unknown = tokenizer.unk_token_id
        known = {str(t) for t in (*tokenizer.all_special_tokens, *getattr(tokenizer, "lang_code_to_id", ()))}
        known |= {str(token) for token in tokenizer.get_added_vocab()}
        return {
            code: code
            for code in sorted(known)
            if _LANGUAGE.fullmatch(code) and tokenizer.convert_tokens_to_ids(code) not in (None, unknown)
        }

    def segmentation(self, tokenizer: Any, *, target: bool) -> tuple[Segment, Mapping[str, int]]:
        """How a tokenizer of Python's makes pieces of words, and the id of each piece."""
        return (lambda words: [[str(p) for p in tokenizer.tokenize(word)] for word in words]), tokenizer.get_vocab()


def _block_lists(stack: nn.Module) -> Iterator[nn.ModuleList]:
    from torch import nn

    for module in stack.modules():
        if isinstance(module, nn.ModuleList) and len(module) > 0:
            yield module


ADAPTERS: Registry[type[Adapter]] = Registry("architecture", "align_eval.models.adapters")


def adapter_of(config: Any) -> Adapter:
    """The adapter of a model's architecture, by ``model_type`` of its configuration."""
    kind = str(config.model_type)
    return (ADAPTERS.get(kind) if kind in ADAPTERS else Adapter)()
