"""A forward pass whose tokens are split gives what one card makes, for every kind of transformer and any shares."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.wan_backend.loading.test_chunked_forward import SEVEN_TOKENS, SIZE, asked, made
from wan_backend.loading import chunked_forward
from wan_backend.loading.camera_transformer import WanCameraTransformer3DModel
from wan_backend.loading.chunked_forward import PromptSpan
from wan_backend.loading.token_split import TokenSplit, shares


class Threads:
    """Cards that are threads of this process; each has an `Exchange` of its own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._all_gave, self._all_took = threading.Barrier(size, timeout=60), threading.Barrier(size, timeout=60)
        self._given: list[tuple[Tensor, ...]] = [()] * size

    def each(self, do: Any) -> list[Any]:
        """What `do(exchange)` returns for each of them."""
        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(do, [Exchanged(self, rank) for rank in range(self.size)]))

    def exchange(self, rank: int, output: Tensor, sent: tuple[Tensor, ...], sizes: list[int]) -> None:
        self._given[rank] = sent
        self._all_gave.wait()
        for part, given in zip(output.split(sizes), self._given, strict=True):
            assert part.shape == given[rank].shape, "what one sends isn't what the other awaits"
            part.copy_(given[rank])
        self._all_took.wait()


class Exchanged:
    """`loading.token_split.Exchange`."""

    def __init__(self, threads: Threads, rank: int) -> None:
        self._threads, self.rank, self.size = threads, rank, threads.size

    def __call__(self, output: Tensor, sent: Tensor, output_sizes: list[int], sent_sizes: list[int]) -> None:
        self._threads.exchange(self.rank, output, sent.split(sent_sizes), output_sizes)

    def gather(self, output: Tensor, own: Tensor) -> None:
        self._threads.exchange(self.rank, output, (own,) * self.size, [own.numel()] * self.size)


def split_over(cards: int, module: Any, inputs: dict[str, Any]) -> Tensor:
    """What the first card has; the others have nothing."""
    with torch.no_grad():
        first, *others = Threads(cards).each(lambda exchange: copy.deepcopy(module)(**inputs, exchange=exchange)[0])
    assert all(not other.numel() for other in others)
    return first


@pytest.mark.ci
@pytest.mark.parametrize("cards", [2, 3, 5])
@pytest.mark.parametrize(("kind", "timed"), [("text", False), ("text", True), ("pictures", False), ("control", False)])
def test_split_tokens_give_the_same_but_for_rounding(kind, timed, cards):
    """48 tokens and 2 heads: five cards have unlike shares of the ones, and three of them none of the others."""
    own, inputs = made(kind), asked(kind, timed=timed)
    chunked_forward.make_chunked(own, chunk_bytes=SEVEN_TOKENS)
    expected = own(**inputs)[0]
    assert (split_over(cards, own, inputs) - expected).abs().max() < 2e-6 * expected.abs().max()


@pytest.mark.ci
def test_each_token_reads_the_words_of_its_time_whoever_has_it():
    own, inputs = made("text"), asked("text")
    chunked_forward.make_chunked(own)
    inputs["encoder_hidden_states"] = torch.randn(3, 512, SIZE["text_dim"])
    inputs["spans"] = (PromptSpan(0, 1, ((2, 1.0),)), PromptSpan(1, 3, ((0, 0.25), (1, 0.75))))
    expected = own(**inputs)[0]
    assert (split_over(3, own, inputs) - expected).abs().max() < 2e-6 * expected.abs().max()


@pytest.mark.ci
def test_a_pass_that_sees_sources_is_split_like_any_other():
    own, inputs = made("text"), asked("text")
    chunked_forward.make_chunked(own, chunk_bytes=SEVEN_TOKENS)
    inputs["sources"] = [torch.randn(1, 4, 3, 8, 8), torch.randn(1, 4, 1, 4, 10)]
    expected = own(**inputs)[0]
    assert (split_over(3, own, inputs) - expected).abs().max() < 2e-6 * expected.abs().max()


@pytest.mark.ci
def test_a_pass_along_a_camera_is_split_like_any_other():
    torch.manual_seed(0)
    own = WanCameraTransformer3DModel(**SIZE).eval().requires_grad_(False)
    chunked_forward.make_chunked(own, chunk_bytes=SEVEN_TOKENS)
    camera = torch.tensor([1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0.6, 0.9, 0.5, 0.5]).view(1, 16, 1, 1)
    inputs = {**asked("text"), "cameras": camera.repeat(1, 1, 3, 4)}
    inputs["cameras"][0, 3] = torch.arange(12.0).view(3, 4)
    expected = own(**inputs)[0]
    assert (split_over(3, own, inputs) - expected).abs().max() < 2e-6 * expected.abs().max()
    assert (own(**asked("text"))[0] - expected).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.ci
@pytest.mark.parametrize(("cards", "tokens", "heads"), [(2, 7, 12), (8, 9, 12), (3, 10, 40), (4, 4, 3)])
def test_each_card_has_its_heads_of_all_tokens_and_gets_back_its_tokens_of_all_heads(cards, tokens, heads):
    states = torch.randn(1, tokens, heads, 2)

    def there_and_back(exchange: Exchanged) -> tuple[Tensor, Tensor]:
        split = TokenSplit(exchange, tokens)
        by_heads = split.by_heads(states[:, split.own])
        assert torch.equal(by_heads, states[:, :, shares(heads, cards)[exchange.rank]])
        return split.by_tokens(by_heads, heads), split.gathered(states[:, split.own].flatten(2))

    made = Threads(cards).each(there_and_back)
    assert torch.equal(torch.cat([own for own, _ in made], dim=1), states)
    assert torch.equal(made[0][1], states.flatten(2)) and not any(other.numel() for _, other in made[1:])


def test_shares_are_as_alike_as_can_be():
    for count in range(1, 90):
        for parts in range(1, 9):
            lengths = [each.stop - each.start for each in shares(count, parts)]
            assert sum(lengths) == count and max(lengths) - min(lengths) <= 1
