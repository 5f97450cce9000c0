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
    """The random model whose size is the last part of the folder's name, with the weights that it has everywhere."""
    from ..loading import devices
    from .random_weights import RandomModel

    size = params.model_folder.rpartition("/")[2]
    return before if before is not None else RandomModel(size, devices.choose(params.device))


if __name__ == "__main__":
    raise SystemExit(other_card_process.main(model_of))
