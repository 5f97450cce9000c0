"""How large the pieces of a file are, by how quickly they are answered: nobody's ping waits long behind one.

A fast line with a long way needs many bytes under way; a slow one would be full for a minute.
"""

from __future__ import annotations

import time

from ..protocol.transfer import MAX_PIECE_BYTES

UNDER_WAY = 4
"""At most so many pieces are sent and not answered."""
LEAST_BYTES, FIRST_BYTES = 8 << 10, 64 << 10
QUICK_SECONDS, SLOW_SECONDS = 0.25, 1.0


class Pace:
    """The size of the next piece."""

    def __init__(self) -> None:
        self.piece_bytes = FIRST_BYTES

    def line_opened(self) -> None:
        """Begin small again: a line that breaks soon must have brought something."""
        self.piece_bytes = min(self.piece_bytes, FIRST_BYTES)

    def sent(self) -> float:
        """The moment at which a piece is sent, for `answered`."""
        return time.monotonic()

    def answered(self, sent_at: float) -> None:
        """A piece that was sent then has been answered now."""
        seconds = time.monotonic() - sent_at
        if seconds < QUICK_SECONDS:
            self.piece_bytes = min(MAX_PIECE_BYTES, self.piece_bytes * 2)
        elif seconds > SLOW_SECONDS:
            self.piece_bytes = max(LEAST_BYTES, self.piece_bytes // 2)
