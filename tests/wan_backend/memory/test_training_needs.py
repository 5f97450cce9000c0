"""Ways in which a training fits into memory, from the quickest to the smallest."""

from __future__ import annotations

from wan_backend.memory import training_needs
from wan_backend.memory.needs import VideoShape
from wan_backend.memory.training_needs import TrainedShape

LARGE = TrainedShape(5120, 13824, 40, 14_000_000_000, 32, VideoShape(832, 480, 33), 2)


def test_each_smaller_way_takes_clearly_less_until_nothing_stays_on_the_card():
    ways = [training_needs.choose(LARGE, 140 << 30)]
    while (less := training_needs.smaller(LARGE, ways[-1])) is not None:
        ways.append(less)
    peaks = [way.peak_bytes for way in ways]
    assert all(after < 0.9 * before or way.stay_bytes == 0
               for before, after, way in zip(peaks, peaks[1:], ways[1:], strict=False))  # fmt: skip
    assert [way.stay_bytes is None for way in ways[:2]] == [True, True] and ways[1].eight_bit
    assert ways[-1].stay_bytes == 0 and len(ways) < 12
