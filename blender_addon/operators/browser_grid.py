"""Where everything in the browser of takes lies: its bar, its chips, the grid of pictures. Numbers alone, no bpy.

All is in pixels of the region that it is drawn in, from the lower left corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MARGIN, GAP = 8, 8
BAR, CHIPS, FOOTER = 26, 22, 42
"""The heights of the search field, of the chips below it, and of the words at the bottom."""
PICTURE, CAPTION = 136, 18
"""The least width of a picture, and the height of the line below it."""
LEAST_WIDTH, LEAST_HEIGHT = 240, 200
"""A region that is smaller shows no grid that anybody could use."""


class Box(NamedTuple):
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def has(self, x: float, y: float) -> bool:
        """Whether the point lies in it."""
        return self.left <= x < self.right and self.bottom <= y < self.top


@dataclass(frozen=True)
class Grid:
    """The places of `count` takes in a region, whose right edge may lie under a sidebar."""

    left: float
    width: float
    height: float
    scale: float
    count: int = 0
    scroll: float = 0.0

    @property
    def bar(self) -> Box:
        """The search field."""
        high = self.height - MARGIN * self.scale
        return Box(self.left + MARGIN * self.scale, high - BAR * self.scale, self.close.left - 4 * self.scale, high)

    @property
    def close(self) -> Box:
        """The button that closes the browser."""
        high, right = self.height - MARGIN * self.scale, self.left + self.width - MARGIN * self.scale
        return Box(right - BAR * self.scale, high - BAR * self.scale, right, high)

    def chips(self, widths: list[float]) -> list[Box]:
        """The chips of these widths, beside one another; those that don't fit have no width."""
        top = self.bar.bottom - 5 * self.scale
        left, boxes = self.left + MARGIN * self.scale, []
        end = self.left + self.width - MARGIN * self.scale
        for width in widths:
            shown = width if left + width <= end else 0.0
            boxes.append(Box(left, top - CHIPS * self.scale, left + shown, top))
            left += width + 5 * self.scale if shown else 0.0
        return boxes

    @property
    def footer(self) -> Box:
        """The words on the take under the pointer."""
        return Box(self.left, 0, self.left + self.width, FOOTER * self.scale)

    @property
    def view(self) -> Box:
        """Where pictures are seen."""
        top = self.bar.bottom - (CHIPS + 11) * self.scale
        return Box(self.left, self.footer.top, self.left + self.width, max(self.footer.top, top))

    @property
    def columns(self) -> int:
        """How many pictures lie beside one another."""
        room = self.width - (2 * MARGIN - GAP) * self.scale
        return max(1, int(room // ((PICTURE + GAP) * self.scale)))

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a take: its picture, and the line below."""
        room = self.width - (2 * MARGIN - GAP) * self.scale
        wide = room / self.columns - GAP * self.scale
        return wide, wide * 9 / 16 + CAPTION * self.scale

    @property
    def row_height(self) -> float:
        """From one row to the next."""
        return self.cell[1] + GAP * self.scale

    @property
    def max_scroll(self) -> float:
        """The last row is in view there."""
        rows = -(-self.count // self.columns)
        return max(0.0, rows * self.row_height - (self.view.top - self.view.bottom))

    def box(self, index: int) -> Box:
        """The cell of a take."""
        wide, high = self.cell
        row, column = divmod(index, self.columns)
        left = self.left + MARGIN * self.scale + column * (wide + GAP * self.scale)
        top = self.view.top - row * self.row_height + self.scroll
        return Box(left, top - high, left + wide, top)

    def picture(self, index: int) -> Box:
        """The part of the cell that has the picture."""
        box = self.box(index)
        return box._replace(bottom=box.bottom + CAPTION * self.scale)

    def in_view(self) -> range:
        """The takes that are seen, whole or in part."""
        first = int(max(0.0, self.scroll) // self.row_height) * self.columns
        rows = int((self.view.top - self.view.bottom) // self.row_height) + 2
        return range(min(first, self.count), min(first + rows * self.columns, self.count))

    def at(self, x: float, y: float) -> int:
        """The take at that point; -1 if there is none."""
        if not self.view.has(x, y):
            return -1
        return next((index for index in self.in_view() if self.box(index).has(x, y)), -1)

    def scrolled_to(self, index: int) -> float:
        """The scroll at which the take is in view, as near as can be to where it is now."""
        row = index // self.columns
        lowest = (row + 1) * self.row_height - (self.view.top - self.view.bottom)
        return min(max(self.scroll, lowest, 0.0), row * self.row_height)
