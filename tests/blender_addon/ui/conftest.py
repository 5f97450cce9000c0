"""The stand-in session and the cut for the tests of this folder."""

from cut import cut
from stand_in_session import settings, stand_in

__all__ = ["cut", "settings", "stand_in"]
