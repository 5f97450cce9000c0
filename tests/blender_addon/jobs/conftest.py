"""The cut and the stand-in renderer for the tests of this folder."""

from cut import cut
from stand_in_renderer import renderer

__all__ = ["cut", "renderer"]
