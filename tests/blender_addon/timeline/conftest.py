"""The cut for the tests of this folder."""

from cut import cut

__all__ = ["cut"]
