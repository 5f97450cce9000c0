"""Latents to pictures by a tiny autoencoder: rough, but in a fraction of the time and memory.

TAEHV (madebyollin, MIT; `taew2_1` for the latents of Wan 2.1 and 2.2 A14B, `taew2_2` for those of the 5B) is trained
to show what Wan's own autoencoder would. It is made of convolutions over single pictures; time comes in through blocks
that also see their own input of one picture earlier, and through layers that make two pictures of one. It is built here
from the shapes in its file, whose keys number its layers: `decoder.N....` The encoder in the file is not read. It takes
the transformer's latents, without the autoencoder's mean and standard deviation.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..loading import finite
from ..loading.build_budget import BuildBudget
from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile
from .stopping import ShouldStop, check, checked, never
from .transfers import Transfer, ahead

log = logging.getLogger(__name__)

STAGES = ((3, 1), (9, 2), (15, 2))
"""For each stage, which doubles the size: the number of its first layer, and how many pictures it makes of one."""
STAGE_BLOCKS = 3
FIRST_LAYER, LAST_LAYER = 1, 22
COLORS = 3
LATE_PICTURES = 3
"""The first latent frame stands for one picture, not for four: this many of those made from it are dropped."""
LATENT_RANGE = 3.0


class RecallBlock(nn.Module):
    """Three convolutions over a picture and the one before it, added to the picture."""

    def __init__(self, width: int, made: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * width, made, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(made, made, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(made, made, 3, padding=1),
        )
        self.skip = nn.Identity() if width == made else nn.Conv2d(width, made, 1, bias=False)

    def forward(self, pictures: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """(T, C, H, W) from consecutive pictures of that shape and the (1, C, H, W) one before them."""
        earlier = torch.cat([before, pictures[:-1]])
        return F.relu(self.conv(torch.cat([pictures, earlier], dim=1)) + self.skip(pictures))


class TemporalUpsample(nn.Module):
    """Makes `times` pictures of each."""

    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width * times, 1, bias=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(T * times, C, H, W) from (T, C, H, W)."""
        return self.conv(pictures).reshape(-1, *pictures.shape[1:])


class TinyDecoder(nn.Module):
    """The decoder, with the layer numbers of its file."""

    def __init__(self, latents: int, widths: tuple[int, int, int, int], patch: int) -> None:
        """`latents` channels of a latent; `widths` of the three stages and after them; `patch` pixels of a side that
        one place of the last layer holds."""
        super().__init__()
        self.patch = patch
        layers: dict[str, nn.Module] = {str(FIRST_LAYER): nn.Conv2d(latents, widths[0], 3, padding=1)}
        for stage, (first, times) in enumerate(STAGES):
            width, following = widths[stage], widths[stage + 1]
            for number in range(first, first + STAGE_BLOCKS):
                layers[str(number)] = RecallBlock(width, width)
            layers[str(first + STAGE_BLOCKS + 1)] = TemporalUpsample(width, times)
            layers[str(first + STAGE_BLOCKS + 2)] = nn.Conv2d(width, following, 3, padding=1, bias=False)
        layers[str(LAST_LAYER)] = nn.Conv2d(widths[3], COLORS * patch**2, 3, padding=1)
        self.decoder = nn.ModuleDict(layers)

    @property
    def blocks(self) -> list[RecallBlock]:
        """The blocks that also see the picture before, in order."""
        return [layer for layer in self.decoder.values() if isinstance(layer, RecallBlock)]

    def forward(self, latents: torch.Tensor, recalled: list[torch.Tensor | None]) -> torch.Tensor:
        """(4 T, 3, H, W) pictures in 0 to 1 from (T, C, h, w) latents, one after another.

        `recalled` has an entry for each of `blocks`, the last picture that it saw (None: nothing yet), and gets its
        new ones.
        """
        hidden = torch.tanh(latents / LATENT_RANGE) * LATENT_RANGE
        hidden = F.relu(self.decoder[str(FIRST_LAYER)](hidden))
        for stage, (first, _times) in enumerate(STAGES):
            for place in range(STAGE_BLOCKS):
                index = stage * STAGE_BLOCKS + place
                last = recalled[index]
                before = torch.zeros_like(hidden[:1]) if last is None else last
                recalled[index] = hidden[-1:].clone()
                hidden = self.decoder[str(first + place)](hidden, before)
            hidden = F.interpolate(hidden, scale_factor=2, mode="nearest")
            hidden = self.decoder[str(first + STAGE_BLOCKS + 1)](hidden)
            hidden = self.decoder[str(first + STAGE_BLOCKS + 2)](hidden)
        pictures = self.decoder[str(LAST_LAYER)](F.relu(hidden))
        return F.pixel_shuffle(pictures, self.patch).clamp(0, 1)


def load(file: Path, latents: int, device: torch.device, dtype: torch.dtype) -> TinyDecoder:
    """The decoder in that file, for latents of that many channels; raises Refusal if there is none."""
    try:
        weights = load_file(file)
        broken = finite.first_that_is_none(weights.items())
        if broken is not None:
            raise ValueError(Sentence("its weight {name} is not all finite numbers", name=broken))
        decoder = _built(weights, latents)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, UnusableFile) as error:
        log.error("the tiny autoencoder %s would not load", file, exc_info=error)
        reason = str(error)
        if not isinstance(reason, Sentence):
            reason = reason.strip().split("\n")[0].rstrip(".")[:200]
        sentence = Sentence(
            "The tiny autoencoder {file} can't be loaded ({reason}); download it again, or remove it.",
            file=file,
            reason=reason,
        )
        raise Refusal(Problem(ProblemKind.MODEL_BROKEN, sentence)) from error
    return decoder.to(device, dtype).eval().requires_grad_(False)


def decode(decoder: TinyDecoder, latents: torch.Tensor, should_stop: ShouldStop = never) -> Iterator[np.ndarray]:
    """Yield uint8 arrays (N, H, W, 3): first one picture, then four for each further latent frame.

    `latents` is (1, C, T, h, w) as `denoise` returns it. Raises Stopped between the blocks, and NoPictures.
    """
    made = _transfers(decoder, latents, should_stop)
    for each in ahead(made) if next(decoder.parameters()).is_cuda else made:
        array: np.ndarray = each.wait().numpy()
        yield array


def _transfers(decoder: TinyDecoder, latents: torch.Tensor, should_stop: ShouldStop) -> Generator[Transfer, None, None]:
    """(N, H, W, 3) uint8 pictures of each latent frame, on their way from the device."""
    weight = next(decoder.parameters())
    frames = latents[0].transpose(0, 1).to(weight.device, weight.dtype)
    recalled: list[torch.Tensor | None] = [None] * len(decoder.blocks)
    for index in range(len(frames)):
        check(should_stop)
        with torch.no_grad(), checked(decoder.blocks, should_stop):
            pictures = decoder(frames[index : index + 1], recalled)
        is_finite = torch.isfinite(pictures).all()
        pictures = pictures[LATE_PICTURES if index == 0 else 0 :]
        levels = pictures.float().mul(255).round().to(torch.uint8)
        yield Transfer.begin(levels.permute(0, 2, 3, 1).contiguous(), is_finite)


def _built(weights: Mapping[str, torch.Tensor], latents: int) -> TinyDecoder:
    own = {key: value for key, value in weights.items() if key.startswith("decoder.")}
    first, last = own[f"decoder.{FIRST_LAYER}.weight"], own[f"decoder.{LAST_LAYER}.weight"]
    if first.shape[1] != latents:
        raise ValueError(
            Sentence("it is for latents of {channels} channels, not {wanted}", channels=first.shape[1], wanted=latents)
        )
    patch = round((last.shape[0] / COLORS) ** 0.5)
    widths = [own[f"decoder.{number}.conv.0.weight"].shape[0] for number, _times in STAGES]
    with BuildBudget(own):
        decoder = TinyDecoder(latents, (widths[0], widths[1], widths[2], last.shape[1]), patch)
    for first_block, times in STAGES:
        # A file may hold a layer that makes more pictures than are wanted here: the last ones are the right ones.
        key = f"decoder.{first_block + STAGE_BLOCKS + 1}.conv.weight"
        own[key] = own[key][-own[key].shape[1] * times :]
    decoder.load_state_dict(own)
    return decoder
