"""A source's frames as the model sees them. May import numpy, opencv, av, imageio and protocol.

The files lie on the disk where the request says; nothing is kept of them but the frames that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from ..protocol.errors import Refusal
from ..protocol.messages import Problem, Source


def read(
    source: Source, frames: Sequence[int], width: int, height: int, scene_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) RGB for each of the source's frames asked for, as it lies in the model's picture.

    `frames` counts from the source's first frame, is sorted, and may repeat one. `scene_size` is the scene's width
    and height, for sources that say nothing of their framing. Raises Refusal (bad_source) where a file can't be read.
    """
    wanted = [source.first_frame + index for index in frames] if source.is_movie else list(frames)
    path = Path(source.folder) / source.files[0]
    if not source.is_movie:
        for index in wanted:
            file = Path(source.folder) / source.files[index]
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise Refusal(Problem("bad_source", f"The picture {file} can't be read; choose another."))
            yield cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (width, height), interpolation=cv2.INTER_AREA)
        return
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            for _ in range(wanted.count(number)):
                picture = frame.to_ndarray(format="rgb24")
                yield cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
