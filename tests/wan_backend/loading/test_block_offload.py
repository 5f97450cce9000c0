"""Blocks visit the device one by one: the same numbers, and the weights always at home between.

On the CPU, copies are the same as to a card, only not beside the work.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

from wan_backend.loading.block_offload import BlockOffload, offloaded

CPU = torch.device("cpu")
WIDTH = 8
BLOCK_BYTES = 512  # 8 x 8 and 8 floats, each begun anew at 256


class Tower(nn.Module):
    """Blocks in a row, called in the order that `order` says."""

    def __init__(self, count: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(count))
        self.head = nn.Linear(WIDTH, 2)
        self.order = list(range(count))

    def forward(self, x):
        for number in self.order:
            x = torch.tanh(self.blocks[number](x))
        return self.head(x)


@pytest.fixture
def tower() -> Tower:
    return Tower().eval().requires_grad_(False)


X = torch.linspace(-1, 1, WIDTH).view(1, WIDTH)


@pytest.mark.parametrize("stay", range(7))
def test_the_numbers_are_the_same_however_many_stay(tower, stay):
    plain = tower(X)
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    for _ in range(2):
        visiting.enter(stay * BLOCK_BYTES)
        assert len(visiting._staying) == min(stay, 5)
        for _ in range(3):
            assert torch.equal(tower(X), plain)
        visiting.leave()
    assert torch.equal(tower(X), plain)


def test_those_that_visit_are_spread_among_those_that_stay():
    tower = Tower(10).eval().requires_grad_(False)
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter(6 * BLOCK_BYTES)
    assert set(range(10)) - set(visiting._staying) == {0, 2, 5, 7}
    visiting.enter(0)
    assert not visiting._staying


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [0, 0, 1, 2, 3, 4], [2, 0, 4, 1, 3]])
@pytest.mark.parametrize("stay", [0, 1, 3])
def test_blocks_may_be_called_in_any_order(tower, order, stay):
    tower.order = order
    plain = tower(X)
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter(stay * BLOCK_BYTES)
    for _ in range(3):
        assert torch.equal(tower(X), plain)


def test_at_most_two_are_there_and_the_next_comes_while_one_works(tower):
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter()
    there = []
    home = [block.pack.data_ptr() for block in visiting._blocks]
    for number, block in enumerate(tower.blocks):
        block.register_forward_pre_hook(lambda *_, n=number: there.append((n, sorted(visiting._coming))))
    tower(X)
    assert there == [(0, [1]), (1, [2]), (2, [3]), (3, [4]), (4, [0])]
    assert all(block.weight.data_ptr() == at for block, at in zip(tower.blocks, home, strict=True))


def test_a_block_works_on_a_copy_and_its_own_weights_stay_where_they_are(tower):
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter()
    seen = []
    tower.blocks[1].register_forward_pre_hook(lambda module, _: seen.append(module.weight.data_ptr()))
    tower(X)
    assert seen[0] != tower.blocks[1].weight.data_ptr()
    assert seen[0] in range(visiting._buffers[1].data_ptr(), visiting._buffers[1].data_ptr() + BLOCK_BYTES)


def test_weights_that_come_and_go_come_along_and_go(tower):
    without = tower(X)
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter()
    tower(X)
    visiting.leave()
    tower.blocks[2].extra = nn.Parameter(torch.full((WIDTH,), 0.25), requires_grad=False)
    hook = tower.blocks[2].register_forward_hook(lambda module, _, out: out + module.extra)
    plain = tower(X)
    assert not torch.equal(plain, without)
    visiting.enter()
    there = []
    looking = tower.blocks[2].register_forward_pre_hook(lambda module, _: there.append(module.extra.data_ptr()))
    assert torch.equal(tower(X), plain)
    looking.remove()
    visiting.leave()
    assert there[0] != tower.blocks[2].extra.data_ptr()
    hook.remove()
    del tower.blocks[2].extra
    visiting.enter()
    assert torch.equal(tower(X), without)


def test_an_error_in_a_block_leaves_everything_at_home(tower):
    plain = tower(X)
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter(BLOCK_BYTES)
    hook = tower.blocks[2].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tower(X)
    hook.remove()
    visiting.leave()
    assert torch.equal(tower(X), plain)
    visiting.enter(BLOCK_BYTES)
    assert torch.equal(tower(X), plain)


def test_dissolved_it_is_an_ordinary_module(tower):
    plain = tower(X)
    visiting = BlockOffload(tower, list(tower.blocks), CPU, ())
    visiting.enter()
    visiting.remove()
    assert torch.equal(tower(X), plain)
    assert not tower.blocks[0]._forward_hooks and not tower.blocks[0]._forward_pre_hooks


def test_a_text_encoder_looks_its_words_up_where_they_lie():
    config = UMT5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=16, num_layers=3, num_heads=2)
    encoder = UMT5EncoderModel(config).eval().requires_grad_(False)
    ids, mask = torch.arange(5)[None], torch.ones(1, 5, dtype=torch.long)
    plain = encoder(ids, mask).last_hidden_state
    visiting = offloaded("text_encoder", encoder, CPU)
    words = encoder.shared.weight.data_ptr()
    visiting.enter()
    assert encoder.shared.weight.data_ptr() == words
    assert torch.equal(encoder(inputs_embeds=encoder.shared(ids), attention_mask=mask).last_hidden_state, plain)
    assert offloaded("text_encoder", encoder, CPU) is visiting
