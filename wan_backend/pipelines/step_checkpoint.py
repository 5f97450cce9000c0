"""A job's denoising after a step, in a file: an interrupted job goes on from it, bit for bit on the CPU."""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..loading import finite
from ..loading.diffusers_internals import SCHEDULER_CONFIG
from ..protocol import shallow_json
from ..storage import whole_file
from .transfers import copied

log = logging.getLogger(__name__)

FORMAT = 2
LATENTS = "latents"
_writings = itertools.count()
Tree = Any
"""None, numbers, strings and lists as JSON has them; {"tensor": name, ...}, {"generator": name}, {"map": ...}."""


@dataclass(frozen=True)
class Checkpoint:
    """What the step after the first `done` steps needs; all tensors are on the CPU."""

    done: int
    latents: torch.Tensor
    """(1, C, references + T, h, w), noisy; of a finished one (1, C, T, h, w), clean, as `denoise` returns them."""
    finished: bool = False
    sampler: SamplerState = field(default_factory=lambda: SamplerState())

    @property
    def broken(self) -> bool:
        """True if its latents are not all finite numbers, from which only black frames can come."""
        return not finite.are_numbers(self.latents)

    @classmethod
    def after(cls, done: int, latents: torch.Tensor, sampler: Any) -> Checkpoint | None:
        """Copies of everything that the next step needs; None if the sampler has a state that can't be kept.

        Of tensors on a card, they are there as `transfers.copied` says.
        """
        state = SamplerState.of(sampler)
        return None if state is None else cls(done, copied(latents), False, state)

    @classmethod
    def at_the_end(cls, done: int, latents: torch.Tensor) -> Checkpoint:
        """A copy of the clean latents, which are to be decoded."""
        return cls(done, latents.detach().to("cpu", copy=True).contiguous(), finished=True)

    def restore(self, sampler: Any, device: torch.device) -> torch.Tensor:
        """Put `sampler` into the state of this step; returns the latents, on `device`."""
        self.sampler.restore(sampler, device)
        return self.latents.clone().to(device)

    def write(self, file: Path, fingerprint: str) -> None:
        """Write it to `file`; a kill at any moment leaves the old file or the whole new one. Raises OSError."""
        facts = {"format": FORMAT, "fingerprint": fingerprint, "done": self.done, "finished": self.finished}
        head = {"checkpoint": json.dumps({**facts, "sampler": self.sampler.tree})}
        content = save({LATENTS: self.latents, **self.sampler.tensors}, head)
        whole_file.write(file, whole_file.sealed(content), flushed=True, unfinished=_part_of(file))

    @classmethod
    def read(cls, file: Path, fingerprint: str) -> Checkpoint | None:
        """What `write` put there under the same fingerprint; None, with the reason in the log, if it's of no use."""
        try:
            content = whole_file.unsealed(file.read_bytes())
            length = int.from_bytes(content[:8], "little")
            head = shallow_json.parsed(shallow_json.parsed(content[8 : 8 + length])["__metadata__"]["checkpoint"])
            if head["format"] != FORMAT or head["fingerprint"] != fingerprint:
                raise ValueError("it is of another request, model or version")
            tensors = load(content)
            latents = tensors.pop(LATENTS)
            found = cls(int(head["done"]), latents, bool(head["finished"]), SamplerState(head["sampler"], tensors))
            if found.broken:
                raise ValueError("its latents are not finite numbers")
            return found
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            log.info("the steps in %s are of no use, so the job begins anew: %s", file, error)
            return None


@dataclass
class SamplerState:
    """The attributes of a sampler, as plain values and copies of its tensors on the CPU.

    Samplers declare nowhere which of their attributes change, so all of them are kept, except for the configuration,
    which the job itself gives.
    """

    tree: dict[str, Tree] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, sampler: Any) -> SamplerState | None:
        """The state of `sampler` at this moment; None, with the reason in the log, if it can't be kept."""
        packer = _Packer()
        try:
            tree = {name: packer.pack(value) for name, value in vars(sampler).items() if name != SCHEDULER_CONFIG}
        except _Unpackable as why:
            log.warning("this step can't be gone on from: a sampler's %s can't be kept", why)
            return None
        return cls(tree, packer.tensors)

    def restore(self, sampler: Any, device: torch.device) -> None:
        """Put `sampler`, made from the same configuration, into this state.

        Tensors that were not on the CPU go to `device`.
        """
        for name, branch in self.tree.items():
            setattr(sampler, name, self._unpacked(branch, device))

    def _unpacked(self, branch: Tree, device: torch.device) -> Any:
        if isinstance(branch, list):
            return [self._unpacked(each, device) for each in branch]
        if not isinstance(branch, dict):
            return branch
        if "tensor" in branch:
            copy = self.tensors[branch["tensor"]].clone()
            return copy if branch["on_cpu"] else copy.to(device)
        if "generator" in branch:
            generator = torch.Generator("cpu" if branch["on_cpu"] else device)
            generator.set_state(self.tensors[branch["generator"]])
            return generator
        if "tuple" in branch:
            return tuple(self._unpacked(each, device) for each in branch["tuple"])
        return {key: self._unpacked(each, device) for key, each in branch["map"].items()}


class _Unpackable(TypeError):
    """The type of a value that a checkpoint has no form for; it leaves this module nowhere."""


class _Packer:
    """Turns values into trees and tensors; a tensor that occurs twice is kept once."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names: dict[int, str] = {}

    def pack(self, value: Any) -> Tree:
        """The value as a tree. Raises _Unpackable."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, torch.Tensor):
            return {"tensor": self._keep(value, value), "on_cpu": value.device.type == "cpu"}
        if isinstance(value, torch.Generator):
            return {"generator": self._keep(value, value.get_state()), "on_cpu": value.device.type == "cpu"}
        if isinstance(value, tuple):
            return {"tuple": [self.pack(each) for each in value]}
        if isinstance(value, list):
            return [self.pack(each) for each in value]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"map": {key: self.pack(each) for key, each in value.items()}}
        raise _Unpackable(type(value).__name__)

    def _keep(self, owner: Any, tensor: torch.Tensor) -> str:
        name = self._names.get(id(owner))
        if name is None:
            name = self._names[id(owner)] = f"sampler.{len(self._names)}"
            self.tensors[name] = copied(tensor)
        return name


def remove_unfinished(file: Path) -> None:
    """Remove what killed processes had begun to write of `file`; no living process but this one may be writing it."""
    for part in file.parent.glob(f"{glob.escape(file.name)}.*{whole_file.UNFINISHED_SUFFIX}"):
        if not part.name.startswith(f"{file.name}.{os.getpid()}-"):
            with contextlib.suppress(OSError):
                part.unlink()


def _part_of(file: Path) -> Path:
    """A name for one writing alone: a slow disk may still be at the one before, from another job."""
    return file.with_name(f"{file.name}.{os.getpid()}-{next(_writings)}{whole_file.UNFINISHED_SUFFIX}")
