"""The stand-in session for the tests of this folder."""

from stand_in_session import settings, stand_in

__all__ = ["settings", "stand_in"]
