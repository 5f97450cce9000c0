"""What the export's file dialog shows beside the files: its column is narrow."""

from __future__ import annotations

from types import SimpleNamespace

import bpy


class Column:
    """Notes what is drawn, and whether only half of the width is left for it."""

    use_property_split = False

    def __init__(self, drawn: list[tuple[str, bool]]) -> None:
        self.drawn = drawn

    def prop(self, operator: object, name: str) -> None:
        self.drawn.append((name, self.use_property_split))

    def label(self, text: str, translate: bool = True) -> None:
        self.drawn.append((text, False))

    def row(self) -> Column:
        inner = Column(self.drawn)
        inner.use_property_split = self.use_property_split
        return inner

    def column(self, align: bool = False) -> Column:
        return self.row()


def test_boxes_have_the_whole_width_and_what_is_lost_is_said(addon) -> None:
    module = addon("operators.interchange")
    drawn: list[tuple[str, bool]] = []
    shown = SimpleNamespace(layout=Column(drawn), kind=".aaf", lost="Not in the file: 1 text strip.")
    module.WAN_VSE_OT_export_timeline.draw(shown, bpy.context)
    assert drawn[:3] == [("kind", True), ("as_movies", False), ("replace", False)]
    said = " ".join(words for words, _ in drawn[3:])
    assert "Lost are speeds" in said and said.endswith("Not in the file: 1 text strip.")
    assert all(len(words) <= module.LINE_CHARACTERS for words, _ in drawn[3:])
