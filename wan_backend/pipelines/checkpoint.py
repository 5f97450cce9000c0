"""How far the denoising of a job is, in a file: a job that ended half-way goes on from it, bit for bit on the CPU.

May import torch, safetensors, whole_file, models and sampler_state.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..loading import finite
from ..storage import whole_file
from .sampler_state import SamplerState

FORMAT = 2
LATENTS = "latents"
_writings = itertools.count()


class Unusable(Exception):
    """A file holds no checkpoint of this job."""


@dataclass(frozen=True)
class Checkpoint:
    """After `done` steps were made; all tensors are on the CPU."""

    done: int
    latents: torch.Tensor
    """(1, C, references + T, h, w), noisy; of a finished one (1, C, T, h, w), clean, as `denoise` gives them."""
    finished: bool = False
    sampler: SamplerState = field(default_factory=SamplerState)

    @property
    def broken(self) -> bool:
        """True where its latents are not all numbers, of which nothing but black can come."""
        return not finite.are_numbers(self.latents)

    @classmethod
    def after(cls, done: int, latents: torch.Tensor, sampler: Any) -> Checkpoint:
        """Copies of everything that the next step needs. Raises Unkept."""
        return cls(done, _copy(latents), False, SamplerState.of(sampler))

    @classmethod
    def at_the_end(cls, done: int, latents: torch.Tensor) -> Checkpoint:
        """A copy of what there is to decode."""
        return cls(done, _copy(latents), finished=True)

    def put_back(self, sampler: Any, device: torch.device) -> torch.Tensor:
        """Let `sampler` go on from here; gives the latents, on `device`."""
        self.sampler.put_back(sampler, device)
        return self.latents.clone().to(device)

    def write(self, file: Path, fingerprint: str) -> None:
        """Put it into `file`, which a kill at any moment leaves as it was or whole. Raises OSError."""
        said = {"format": FORMAT, "fingerprint": fingerprint, "done": self.done, "finished": self.finished}
        head = {"checkpoint": json.dumps({**said, "sampler": self.sampler.tree})}
        content = save({LATENTS: self.latents, **self.sampler.tensors}, head)
        whole_file.write(file, whole_file.sealed(content), flushed=True, part=_part_of(file))

    @classmethod
    def read(cls, file: Path, fingerprint: str) -> Checkpoint:
        """What `write` put there under the same fingerprint. Raises Unusable."""
        try:
            content = whole_file.unsealed(file.read_bytes())
            length = int.from_bytes(content[:8], "little")
            head = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["checkpoint"])
            if head["format"] != FORMAT or head["fingerprint"] != fingerprint:
                raise Unusable("it is of another request, model or version")
            tensors = load(content)
            latents = tensors.pop(LATENTS)
            found = cls(int(head["done"]), latents, bool(head["finished"]), SamplerState(head["sampler"], tensors))
            if found.broken:
                raise Unusable("its latents are no numbers")
            return found
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise Unusable(str(error)) from error


def sweep(file: Path) -> None:
    """Remove what processes that were killed had begun to write of `file`; those that live must have none begun."""
    for part in file.parent.glob(f"{glob.escape(file.name)}.*{whole_file.PART_SUFFIX}"):
        if not part.name.startswith(f"{file.name}.{os.getpid()}-"):
            with contextlib.suppress(OSError):
                part.unlink()


def _part_of(file: Path) -> Path:
    """Of one writing alone: a slow disk may still be at the one before, from another job."""
    return file.with_name(f"{file.name}.{os.getpid()}-{next(_writings)}{whole_file.PART_SUFFIX}")


def _copy(latents: torch.Tensor) -> torch.Tensor:
    return latents.detach().to("cpu", copy=True).contiguous()
