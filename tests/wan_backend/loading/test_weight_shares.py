"""Cards that have shares of the weights make what one makes that has them all, and none keeps more than its share."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.wan_backend.library import file_forms
from tests.wan_backend.loading.test_chunked_forward import asked, made
from tests.wan_backend.loading.test_token_split import Exchanged, Threads, split_over
from wan_backend.library.survey import inspect_file
from wan_backend.loading import block_offload, chunked_forward, eight_bit, single_files, weight_shares
from wan_backend.loading.block_offload import offloaded, tensors_of
from wan_backend.loading.weight_shares import Share, SharedBlocks, SharesApart

CPU = torch.device("cpu")
pytestmark = pytest.mark.ci


def share_of(module: Any, exchange: Exchanged) -> tuple[Any, SharedBlocks]:
    """A copy of the module that keeps the share of one of the cards."""
    own = copy.deepcopy(module)
    return own, weight_shares.shared("transformer", own, CPU, Share(exchange.rank, exchange.size))


def with_shares(module: Any, exchange: Exchanged, *asked_for: dict[str, Any]) -> list[Tensor]:
    """What one of the cards has of forward passes with such inputs."""
    own, blocks = share_of(module, exchange)
    blocks.enter()
    with torch.no_grad():
        results = [own(**inputs, exchange=exchange)[0] for inputs in asked_for]
    blocks.leave()
    return results


def storages(module: Any) -> Iterator[int]:
    for tensor in tensors_of(module):
        yield tensor.untyped_storage().nbytes()


@pytest.mark.parametrize("cards", [2, 3])
@pytest.mark.parametrize("kind", ["text", "pictures", "control"])
def test_shares_of_the_weights_change_no_bit(kind, cards):
    own, inputs = made(kind), asked(kind)
    chunked_forward.make_chunked(own)
    expected = split_over(cards, own, inputs)
    twice, *_others = Threads(cards).each(lambda exchange: with_shares(own, exchange, inputs, inputs))
    assert all(torch.equal(each, expected) for each in twice)


def test_weights_in_8_bit_are_shared_as_they_are():
    own, inputs = made("text"), asked("text")
    eight_bit.quantize(own)
    chunked_forward.make_chunked(own)
    expected = split_over(2, own, inputs)
    (result,), _ = Threads(2).each(lambda exchange: with_shares(own, exchange, inputs))
    assert torch.equal(result, expected)


def test_a_gguf_is_shared_in_its_blocks(tmp_path):
    weights = file_forms.weights_of(file_forms.transformer("text"))
    file = file_forms.write_gguf(tmp_path / "a.gguf", file_forms.published("transformer", weights), "Q8_0")
    inputs = {
        "hidden_states": torch.randn(1, 16, 2, 4, 4),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 6, file_forms.TEXT_WIDTH),
    }

    component = inspect_file(file).components[0]  # loaded one after another: accelerate patches torch meanwhile
    loaded = [single_files.load(component, torch.float32, quantized=True) for _ in range(2)]

    def forward(shared: bool, exchange: Exchanged) -> Tensor:
        own = loaded[exchange.rank]
        chunked_forward.make_chunked(own)
        if shared:
            weight_shares.shared("transformer", own, CPU, Share(exchange.rank, 2)).enter()
        with torch.no_grad():
            return own(**inputs, exchange=exchange)[0]

    expected, _ = Threads(2).each(partial(forward, False))
    result, _ = Threads(2).each(partial(forward, True))
    assert torch.equal(result, expected) and result.abs().max() > 0


def test_a_control_that_comes_and_goes_changes_the_order_on_all_cards():
    """Without control, none of its blocks works; and nothing of the forward before may be taken for this one's."""
    own, inputs = made("control"), asked("control")
    plain = {name: each for name, each in inputs.items() if name != "control_hidden_states"}
    chunked_forward.make_chunked(own)
    one, other = split_over(2, own, inputs), split_over(2, own, plain)
    first, _ = Threads(2).each(lambda exchange: with_shares(own, exchange, inputs, plain, inputs))
    assert [torch.equal(each, expected) for each, expected in zip(first, (one, other, one), strict=True)] == [True] * 3


def test_a_card_keeps_its_share_and_nothing_else_of_the_blocks():
    module = made("text")
    whole = sum(each.nbytes for block in module.blocks for each in tensors_of(block))

    def kept(exchange: Exchanged) -> int:
        own, blocks = share_of(module, exchange)
        assert all(size <= 8 for block in own.blocks for size in storages(block))
        blocks.enter()
        blocks.leave()
        assert all(size <= 8 for block in own.blocks for size in storages(block))
        shapes = [each.shape for block in module.blocks for each in tensors_of(block)]
        assert shapes == [each.shape for block in own.blocks for each in tensors_of(block)]
        ends = sum(each.nbytes for each in blocks.outside())
        assert blocks.held_bytes("cpu") == blocks.kept_bytes + ends and blocks.held_bytes("cuda") == 0
        return blocks.kept_bytes

    shares = Threads(3).each(kept)
    padding = 3 * block_offload.ALIGNMENT * sum(len(list(tensors_of(block))) for block in module.blocks)
    assert len(set(shares)) == 1 and whole <= sum(shares) <= whole + padding


class Noted(Exchanged):
    """Keeps the order of what is exchanged: weights, and tokens."""

    def __init__(self, exchange: Exchanged) -> None:
        super().__init__(exchange._threads, exchange.rank)
        self.order: list[str] = []

    def __call__(self, output: Tensor, *how: Any) -> None:
        self.order.append("tokens")
        super().__call__(output, *how)

    def gather(self, output: Tensor, own: Tensor) -> None:
        self.order.append("weights")
        super().gather(output, own)


@pytest.mark.parametrize("kind", ["text", "control"])
def test_each_block_is_asked_for_where_the_attention_of_the_one_before_begins_and_none_after_the_last(kind):
    """On all cards in one order, whatever their shares are."""
    module, inputs = made(kind), asked(kind)
    chunked_forward.make_chunked(module)

    def order(exchange: Exchanged) -> list[str]:
        noted = Noted(exchange)
        with_shares(module, noted, inputs, inputs)
        return noted.order

    blocks = len(module.blocks) + len(getattr(module, "vace_blocks", ()))
    by_heads, back = ["tokens"] * 3, ["tokens"]
    each = ["weights", *[*by_heads, "weights", *back] * (blocks - 1), *by_heads, *back, "tokens"]
    assert Threads(3).each(order) == [each * 2] * 3


def test_without_the_others_no_forward_begins():
    module, inputs = made("text"), asked("text")
    chunked_forward.make_chunked(module)
    blocks = weight_shares.shared("transformer", module, CPU, Share(0, 2))
    blocks.enter()
    with pytest.raises(SharesApart), torch.no_grad():
        module(**inputs)
    with pytest.raises(SharesApart), torch.no_grad():
        module(**inputs, exchange=Exchanged(Threads(3), 0))


def test_a_transformer_whose_blocks_visited_the_device_is_shared_from_there():
    module, inputs = made("text"), asked("text")
    chunked_forward.make_chunked(module)
    expected = split_over(2, module, inputs)

    def forward(exchange: Exchanged) -> Tensor:
        own = copy.deepcopy(module)
        visiting = offloaded("transformer", own, CPU)
        visiting.enter()
        visiting.leave()
        weight_shares.shared("transformer", own, CPU, Share(exchange.rank, 2)).enter()
        with torch.no_grad():
            return own(**inputs, exchange=exchange)[0]

    result, _ = Threads(2).each(forward)
    assert torch.equal(result, expected)
