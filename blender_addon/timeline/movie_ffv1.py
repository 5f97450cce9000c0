"""How deep the samples of an FFV1 movie are: from its configuration record or first picture (RFC 9043, 4.2 and 4.3).

Standard library only.
"""

from __future__ import annotations

from .movie_facts import DEEP, Depth, Odd, Sample

ONE = 1 << 32
FACTOR = ONE // 20
MOST = 256 - 8
CUSTOM_TABLE = 2
RGB = 1
FIRST_BYTES = 1024
"""More than any head takes."""


def depth(record: bytes, sample: Sample) -> Depth:
    """Raises Odd where that can't be read, or the colours are coarser than half of the brightness.

    Up to version 1 there is no record, and the first picture says it.
    """
    if record:
        coder = _RangeDecoder(record)
        if coder.symbol() not in (3, 4):  # the version
            raise Odd
        coder.symbol()  # and its smaller part
        return _depth(coder, says_bits=True)
    coder = _RangeDecoder(sample(FIRST_BYTES))
    if not coder.bit(0):  # whether it can be decoded without another one
        raise Odd
    coder.begin_anew()
    version = coder.symbol()
    if version > 1:
        raise Odd
    return _depth(coder, says_bits=version == 1)


def _depth(coder: _RangeDecoder, says_bits: bool) -> Depth:
    if coder.symbol() == CUSTOM_TABLE:
        for _ in range(255):
            coder.symbol(signed=True)
    is_rgb = coder.symbol() == RGB
    bits = DEEP if says_bits and coder.symbol() > 8 else 8
    has_colour = bool(coder.bit(0)) or is_rgb
    if max(coder.symbol(), coder.symbol()) > 1 and not is_rgb:
        raise Odd
    alpha = bits if coder.bit(0) else 0
    return Depth(alpha, bits if is_rgb else 8, 8 if has_colour else bits)


class _RangeDecoder:
    """ffmpeg's range coder, with one set of states."""

    def __init__(self, content: bytes) -> None:
        if len(content) < 3:
            raise Odd
        self._content, self._at = content, 2
        self._low, self._range = int.from_bytes(content[:2], "big"), 0xFF00
        if self._low >= 0xFF00:
            raise Odd
        self._ones = _next_states()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was learnt of the bits before."""
        self._states = [128] * 32

    def bit(self, place: int) -> int:
        state = self._states[place]
        upper = self._range * state >> 8
        self._range -= upper
        found = int(self._low >= self._range)
        if found:
            self._low -= self._range
            self._range = upper
            self._states[place] = self._ones[state]
        else:
            self._states[place] = 256 - self._ones[256 - state]
        if self._range < 0x100:
            self._range <<= 8
            self._low <<= 8
            if self._at < len(self._content):
                self._low += self._content[self._at]
                self._at += 1
        return found

    def symbol(self, signed: bool = False) -> int:
        if self.bit(0):
            return 0
        length = 0
        while self.bit(1 + min(length, 9)):
            length += 1
            if length > 31:
                raise Odd
        value = 1
        for place in reversed(range(length)):
            value += value + self.bit(22 + min(place, 9))
        return -value if signed and self.bit(11 + min(length, 10)) else value


def _next_states() -> list[int]:
    """Which state follows a one, by the state before it."""
    states = [0] * 257
    last, chance = 0, ONE // 2
    for _ in range(128):
        now = max((256 * chance + ONE // 2) >> 32, last + 1)
        if 0 < last < 256 and now <= MOST:
            states[last] = now
        chance += ((ONE - chance) * FACTOR + ONE // 2) >> 32
        last = now
    for state in range(256 - MOST, MOST + 1):
        if not states[state]:
            chance = (state * ONE + 128) >> 8
            chance += ((ONE - chance) * FACTOR + ONE // 2) >> 32
            states[state] = min(max((256 * chance + ONE // 2) >> 32, state + 1), MOST)
    return states
