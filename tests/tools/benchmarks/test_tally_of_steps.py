"""What holds on any card, of a forward, a step and a decode of a small model: counted, without a clock.

What is one kernel on a card counts as one. The bounds are what there is today: a rise is a slower or larger take on
every card, and has to be meant. The sampler's own arithmetic, on the CPU on any machine, counts as the card's here.
"""

from __future__ import annotations

import pytest
import torch

from tools.benchmarks.tally import Tally, tallied
from wan_backend.bench import tiny_checkpoint
from wan_backend.loading import block_offload, chunked_forward
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import Sampler

CPU = torch.device("cpu")
LATENTS = (1, 16, 3, 8, 12)
TOKENS, CHANNELS = 3 * 4 * 6, 24
NUMBER_BYTES = 4
HIDDEN_BYTES = TOKENS * CHANNELS * NUMBER_BYTES
"""Of one tensor of all hidden states."""


@pytest.fixture(scope="module")
def pipelines():
    return {kind: tiny_checkpoint.make_pipeline(kind=kind) for kind in ("t2v", "vace")}


@pytest.fixture
def transformer(pipelines):
    """A function that gives the small transformer of a kind, ready to run; each is as it was at the end."""
    made = []

    def get(kind: str = "t2v"):
        module = pipelines[kind].transformer.requires_grad_(False)
        chunked_forward.make_chunked(module)
        made.append(module)
        return module

    yield get
    for module in made:
        chunked_forward.undo(module)


def inputs(kind: str = "t2v") -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    text = torch.randn(1, 512, tiny_checkpoint.TEXT_WIDTH)
    given = {"hidden_states": torch.randn(LATENTS), "timestep": torch.tensor([500.0]), "encoder_hidden_states": text}
    return given if kind == "t2v" else {**given, "control_hidden_states": torch.randn(1, 96, *LATENTS[2:])}


@torch.no_grad()
def forward(module, kind: str = "t2v") -> Tally:
    given = inputs(kind)
    module(**given)  # what is made once and kept isn't counted
    with tallied() as tally:
        module(**given)
    return tally


@torch.no_grad()
def steps(module, count: int, guidance: float = 5.0) -> Tally:
    text = torch.randn(1, 512, tiny_checkpoint.TEXT_WIDTH)
    conditions = Conditions(text, text, torch.randn(LATENTS))
    scheduler = make_scheduler(tiny_checkpoint.make_scheduler().config, Sampler.UNIPC, 3.0)
    with tallied() as tally:
        denoise(module, scheduler, conditions, steps=count, guidance_scale=guidance)
    return tally


def a_step(module, guidance: float = 5.0) -> dict[str, int]:
    """What one more step costs, when the sampler's beginning and end are over."""
    more, fewer = steps(module, 9, guidance), steps(module, 8, guidance)
    return {name: getattr(more, name) - getattr(fewer, name) for name in ("launches", "waits", "copied_bytes")}


@pytest.mark.parametrize(("kind", "launches", "hidden_copied"), [("t2v", 80, 5), ("vace", 142, 6)])
def test_a_forward(transformer, kind, launches, hidden_copied):
    tally = forward(transformer(kind), kind)
    assert tally.waits == 0, "the CPU never waits for a number of the card"
    assert tally.launches <= launches, tally.kernels
    assert tally.copied_bytes <= hidden_copied * HIDDEN_BYTES
    assert tally.bus_bytes == 0


def test_the_peak_of_a_forward(transformer):
    """Most of it is the prompt's, whose 512 tokens are seven times those of this clip."""
    assert forward(transformer()).peak_bytes <= 65 * HIDDEN_BYTES


@pytest.mark.parametrize(("guidance", "launches"), [(1.0, 156), (5.0, 240)])
def test_a_step(transformer, guidance, launches):
    step = a_step(transformer(), guidance)
    assert step["waits"] == 0, "nor between two steps, nor between the two branches of guidance"
    assert step["launches"] <= launches


@pytest.mark.parametrize("stay", [0, 1, 2])
def test_the_bytes_over_the_bus_are_those_of_the_blocks_that_visit_and_no_more(transformer, stay):
    module = transformer()
    offload = block_offload.offloaded("transformer", module, CPU)
    try:
        sizes = offload.pack_bytes
        offload.enter(stay * max(sizes))
        tally = forward(module)
        assert len(offload.staying) == stay
        visiting = [size for number, size in enumerate(sizes) if number not in offload.staying]
        assert tally.bus_bytes == sum(visiting) and tally.waits == 0
        weights = sum(each.nbytes for block in module.blocks for each in block.parameters())
        assert sum(sizes) < weights + len(sizes) * 40 * block_offload.ALIGNMENT, "nothing is sent twice, or for nothing"
    finally:
        offload.remove()
        del module.block_offload


def test_a_decode(pipelines):
    vae = pipelines["t2v"].vae.requires_grad_(False)
    latents = torch.randn(1, 16, 3, 4, 6)
    with torch.no_grad():
        list(decode(vae, latents))
        with tallied() as tally:
            pictures = [len(some) for some in decode(vae, latents)]
    assert sum(pictures) == 9
    assert tally.waits <= 3, "one for each latent frame, when its pictures are there: whether they are numbers"
    assert tally.launches <= 856, tally.kernels
    assert tally.peak_bytes <= 641_000


def test_a_rise_is_seen(transformer):
    """The counts would find a number that is asked of the card, and a block that is fetched twice."""
    module = transformer()
    plain = forward(module).launches
    hook = module.blocks[0].register_forward_hook(lambda _module, _inputs, out: out * float(out.abs().max()))
    try:
        tally = forward(module)
    finally:
        hook.remove()
    assert tally.waits == 1 and tally.launches == plain + 3
