"""The hidden states of chosen layers, computing no block beyond the deepest of them."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from align_eval.errors import ModelError
from align_eval.models.adapters import adapter_of
from align_eval.models.loading_errors import forward_errors

if TYPE_CHECKING:
    import torch
    from torch import nn


class _Reached(Exception):
    """Leaves the forward pass when the deepest layer that is asked for has been captured."""


class HiddenStates:
    """Hidden states of a stack of blocks (an encoder, say) by layer: 0 is the embeddings, ``k`` block ``k``'s output.

    The state after block ``k`` is read as the input of block ``k + 1``, and the forward pass ends there. So the numbers
    are those of ``output_hidden_states=True``, and no weight is copied. A model without a list of blocks runs in full.

    Args:
        model: the model (without a head that gives out words), in evaluation mode.
        config: its configuration, if it has none of its own.

    Raises:
        ModelError: it gives out no hidden states.
    """

    def __init__(self, model: nn.Module, config: Any = None) -> None:
        self.model: Any = model
        self.config: Any = self.model.config if config is None else config
        self.layers = int(getattr(self.config, "num_hidden_layers", 0) or 0)
        self._lock = threading.Lock()
        parameters = inspect.signature(self.model.forward).parameters
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
        adapter = adapter_of(self.config)
        plain = adapter.bert_blocks
        full = [] if plain else self._probe()
        if full:
            self.layers = len(full) - 1
        self.blocks = adapter.blocks(model, self.layers)
        if self.blocks is not None and not plain and not self._agrees(full):
            self.blocks = None

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor | None, layers: Sequence[int]) -> list[torch.Tensor]:
        """The states of ``layers`` (0 to ``self.layers``), each ``(B, T, width)``, in the order asked for.

        Args:
            ids: ``(B, T)``.
            mask: ``(B, T)``, 1 for sub-words and 0 for padding; ``None``: no padding.
        """
        inputs: dict[str, Any] = {"input_ids": ids, **self._fixed}
        if mask is not None:
            inputs["attention_mask"] = mask
        if self.blocks is None:
            return self._full(inputs, layers)
        taken: dict[int, torch.Tensor] = {}
        deepest = max(layers)
        with self._lock, self._capture(taken, layers):
            try:
                with forward_errors():
                    output = self.model(**inputs)
                taken[deepest] = output.last_hidden_state
            except _Reached:
                pass
        return [taken[layer] for layer in layers]

    def _full(self, inputs: dict[str, Any], layers: Sequence[int]) -> list[torch.Tensor]:
        with forward_errors():
            output = self.model(**inputs, output_hidden_states=True)
        states = output.hidden_states
        return [states[layer] for layer in layers]

    @contextlib.contextmanager
    def _capture(self, taken: dict[int, torch.Tensor], layers: Sequence[int]) -> Iterator[None]:
        assert self.blocks is not None
        deepest = max(layers)

        def hook_for(layer: int) -> Any:
            def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
                taken[layer] = arguments[0] if arguments else named["hidden_states"]
                if layer == deepest:
                    raise _Reached

            return hook

        handles = [
            self.blocks[layer].register_forward_pre_hook(hook_for(layer), with_kwargs=True)
            for layer in sorted({*layers} - {self.layers})
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _probe_ids(self) -> torch.Tensor:
        import torch

        device = next(self.model.parameters()).device
        return torch.arange(5, 13, device=device).remainder(int(getattr(self.config, "vocab_size", 13)))[None, :]

    def _probe(self) -> list[torch.Tensor]:
        """All states of a few tokens, as ``output_hidden_states=True`` gives them."""
        import torch

        kind = f"{type(self.model).__name__} ({self.config.model_type})"
        ids = self._probe_ids()
        try:
            with torch.inference_mode():
                found = self.model(input_ids=ids, **self._fixed, output_hidden_states=True)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ModelError(
                f"{kind} does not run on token ids alone: {str(error).splitlines()[0]}",
                remedy="Choose another model",
            ) from error
        states = getattr(found, "hidden_states", None)
        if states and any(state.shape[:2] != ids.shape for state in states):
            raise ModelError(
                f"{kind} does not keep one state for each token at every layer, so that words have no vectors",
                remedy="Choose another model",
            )
        if not states:
            raise ModelError(
                f"{kind} gives out no hidden states",
                remedy="Choose another model, or read attention",
            )
        return list(states)

    def _agrees(self, full: Sequence[torch.Tensor]) -> bool:
        """Whether what is captured equals ``full``, the states of a few tokens, layer by layer."""
        import torch

        ids, every = self._probe_ids(), range(len(full))
        with torch.inference_mode():
            try:  # all in one pass, and one that ends early
                taken = [*self(ids, None, every), *self(ids, None, [1 if len(full) > 2 else 0])]
            except (KeyError, RuntimeError, AttributeError, TypeError, ModelError):
                return False
        for one, state in zip(taken, [*full, full[1 if len(full) > 2 else 0]], strict=True):
            if one.shape != state.shape or not torch.allclose(one, state, rtol=1e-4, atol=1e-5):
                return False
        return True
