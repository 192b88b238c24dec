"""A forward pass that waits at each layer leaves nothing behind, wherever the loop over it ends."""

from __future__ import annotations

import gc

import pytest
import torch

from align_eval.attribution import pair_model
from align_eval.models.attention import attention_sites
from tests.models import families

KINDS = ("bert", "marian", "llama")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_output_attentions(kind):
    reader = pair_model(families.build(kind))
    layouts = reader.lay_out(families.pairs()[:2])
    found = dict(reader.attention(layouts))
    assert sorted(found) == list(range(1, reader.layers + 1))
    again = dict(reader.attention(layouts, [reader.layers, 1]))
    assert list(again) == [1, reader.layers] or reader.layers == 1
    assert all(torch.equal(again[layer], found[layer]) for layer in again)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_that_is_left_early_leaves_nothing_behind(kind):
    reader = pair_model(families.build(kind))
    layouts = reader.lay_out(families.pairs()[:2])
    way = reader.model.config._attn_implementation
    for _ in reader.attention(layouts):
        assert torch.is_grad_enabled()  # the body of the loop has the caller's settings
        break
    gc.collect()
    assert torch.is_grad_enabled()
    assert reader.model.config._attn_implementation == way
    assert not any(module._forward_hooks for module in reader.model.modules())


def test_an_error_in_the_loop_leaves_torch_as_it_was_while_the_error_is_kept():
    reader = pair_model(families.build("bert"))
    layouts = reader.lay_out(families.pairs()[:2])

    def read() -> None:
        for _ in reader.attention(layouts):
            raise KeyError("in the loop")

    with pytest.raises(KeyError) as kept:
        read()
    assert torch.is_grad_enabled()
    # A pass that waits takes nothing of another pass of the same model.
    assert len(dict(reader.attention(layouts))) == reader.layers
    del kept


def test_two_passes_of_one_model_go_on_by_turns():
    reader = pair_model(families.build("bert"))
    layouts = reader.lay_out(families.pairs()[:2])
    alone = [weights for _, weights in reader.attention(layouts)]
    for (_, one), (_, other), wanted in zip(reader.attention(layouts), reader.attention(layouts), alone, strict=True):
        assert torch.equal(one, wanted)
        assert torch.equal(other, wanted)
    assert attention_sites(reader.model, "self", reader.name) == reader.sites
