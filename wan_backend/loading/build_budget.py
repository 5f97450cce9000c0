"""How much may be built for a file of weights: about what it holds, however large the model is that its names speak of.

Modules are made by the names and shapes of a file's tensors before their numbers are compared with it. One shape, or a
number in a name, may say that there are gigabytes more than the file has; so each tensor is counted before it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..protocol.sentences import Sentence
from ..storage.guarded_files import UnusableFile

NUMBERS_FACTOR, TENSORS_FACTOR = 4, 40
"""By so much may be made what a file has: modules make their weights twice where they begin them, and masks beside
them; in making one, a few small tensors are."""
NUMBERS_MORE, TENSORS_MORE = 64 << 20, 20_000
"""And so much more, for what is in no file, such as masks and tables."""


class BuildBudget(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Used as `with`: raises UnusableFile before more is made within than goes with `weights`, a file's tensors."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        """Of each tensor, `shape` alone is looked at."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._numbers = NUMBERS_FACTOR * sum(math.prod(each.shape) for each in weights.values()) + NUMBERS_MORE
        self._tensors = TENSORS_FACTOR * len(weights) + TENSORS_MORE

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count what `func` makes."""
        if args and isinstance(args[0], list | tuple) and all(type(side) is int for side in args[0]):
            self._check(math.prod(args[0]))  # `empty` and its like: before it is made
        made = func(*args, **(kwargs or {}))
        given = {id(each) for each in args if isinstance(each, Tensor)}
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and id(each) not in given and not each._is_view():
                self._tensors -= 1
                self._numbers -= each.numel()
        self._check(0)
        return made

    def _check(self, numbers: int) -> None:
        if numbers > self._numbers or self._tensors < 0:
            raise UnusableFile(Sentence("it speaks of a far larger model than it has tensors of"))
