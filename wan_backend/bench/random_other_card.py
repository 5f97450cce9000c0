"""Another card's process for a model of random weights, which is in no folder: it makes the same one there.

python -m wan_backend.bench.random_other_card
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..worker import other_card_process

if TYPE_CHECKING:
    from ..loading.wan_model import WanModel
    from ..protocol.messages import RunParams


def model_of(params: RunParams, before: WanModel | None) -> WanModel:
    """The random model whose size is the last part of the folder's name, with the weights that it has everywhere.

    It reads no prompts: the first card does. With a memory budget, torch has no more of the card than that.
    """
    from ..loading import devices
    from .caps import GIB, limit
    from .random_weights import RandomModel

    if before is not None:
        return before
    size, budget_bytes = params.model_folder.rpartition("/")[2], params.memory_budget_bytes
    model = RandomModel(size, devices.choose(params.device), held=budget_bytes is not None, reads_prompts=False)
    devices.release(model.device)
    if budget_bytes is not None:
        limit(model.device, budget_bytes / GIB)
    return model


if __name__ == "__main__":
    raise SystemExit(other_card_process.main(model_of))
