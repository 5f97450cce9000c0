"""The stand-in tracker for the tests of this folder."""

from stand_in_tracker import settings, told

__all__ = ["settings", "told"]
