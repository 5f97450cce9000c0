"""The cut, the stand-in renderer and takes whose sources change, for the tests of this folder."""

from cut import cut
from stale_desk import desk, set_
from stand_in_renderer import renderer

__all__ = ["cut", "desk", "renderer", "set_"]
