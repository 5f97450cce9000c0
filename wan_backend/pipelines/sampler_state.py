"""What a sampler remembers from step to step, as plain values and tensors, and back. May import torch alone.

Samplers say nowhere which of their attributes change, so all of them are kept; their configuration, which the job
itself gives, is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

_LEFT_OUT = ("_internal_dict",)
"""The configuration of a diffusers scheduler."""
Tree = Any
"""None, numbers, strings and lists as JSON has them; {"tensor": name, ...}, {"generator": name}, {"map": ...}."""


class Unkept(TypeError):
    """A sampler has something that can't be kept."""


@dataclass
class SamplerState:
    """A sampler's attributes; every tensor is a copy on the CPU."""

    tree: dict[str, Tree] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, sampler: Any) -> SamplerState:
        """The state of `sampler` at this moment. Raises Unkept."""
        packer = _Packer()
        tree = {name: packer.pack(value) for name, value in vars(sampler).items() if name not in _LEFT_OUT}
        return cls(tree, packer.tensors)

    def put_back(self, sampler: Any, device: torch.device) -> None:
        """Let `sampler`, made from the same configuration, go on from here; tensors that were not on the CPU go to
        `device`.
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


class _Packer:
    """Takes values apart; a tensor that is met twice is kept once."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names: dict[int, str] = {}

    def pack(self, value: Any) -> Tree:
        """The value as a tree. Raises Unkept."""
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
        raise Unkept(f"a sampler's {type(value).__name__} can't be kept")

    def _keep(self, owner: Any, tensor: torch.Tensor) -> str:
        name = self._names.get(id(owner))
        if name is None:
            name = self._names[id(owner)] = f"sampler.{len(self._names)}"
            self.tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
        return name
