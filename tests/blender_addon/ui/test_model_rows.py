"""A row for each model: those that are here first, one recommended, and whether it fits the card."""

from __future__ import annotations

import dataclasses

import pytest
from test_drawing import Recorder

GB = 1_000_000_000


@pytest.fixture
def rows(stand_in):
    """Rows of a large, a middle and a small model, none of them here."""
    (first, *_) = stand_in.server.models
    tasks = list(stand_in.messages.Task)
    made = {
        name: dataclasses.replace(
            first,
            model=name,
            label=name.capitalize(),
            here=False,
            tasks=tasks,
            download_bytes=size * GB,
            memory_bytes=size * GB,
            least_memory_bytes=size * GB // 2,
        )
        for name, size in (("large", 40), ("middle", 16), ("small", 6))
    }
    stand_in.server.models = [*stand_in.server.models, *made.values()]
    return made


@pytest.mark.parametrize(("card", "fit"), [(0, ""), (48, "fits"), (24, "streams"), (12, "too large")])
def test_a_model_fits_streams_or_is_too_large(addon, rows, card, fit) -> None:
    assert addon("ui.model_rows").fit(rows["large"], card * GB) == fit


@pytest.mark.parametrize(("card", "model"), [(48, "large"), (24, "middle"), (8, "small"), (4, "small"), (0, "small")])
def test_the_best_that_fits_is_recommended(addon, rows, card, model) -> None:
    assert addon("ui.model_rows").recommended_of(list(rows.values()), card * GB) == model


def test_those_that_are_here_come_first_then_the_recommended_one(addon, stand_in, rows) -> None:
    order = [row.model for row in addon("ui.model_rows").in_order(stand_in.server.models, "small")]
    assert order[:3] == ["embedded", "big", "small"]


class Splits(Recorder):
    """Gathers how rows are divided in `orders`."""

    def _take(self, name, *values, **named):
        if name == "split":
            self.orders.append(round(named["factor"], 3))
        made = super()._take(name, *values, **named)
        return Splits(self.words, self.orders) if isinstance(made, Recorder) else made


@pytest.mark.parametrize("card", [0, 24])
def test_all_rows_are_divided_alike(addon, stand_in, rows, card) -> None:
    import bpy

    stand_in.server.worker = dataclasses.replace(stand_in.server.worker, device_bytes=card * GB)
    divided = set()
    for model in stand_in.server.models:
        layout = Splits()
        addon("ui.model_rows").draw_row(layout, bpy.context, model, False)
        divided.add(tuple(each for each in layout.orders if isinstance(each, float)))
    assert len(divided) == 1


def test_each_has_one_row_with_its_size_on_the_button(addon, stand_in, rows) -> None:
    import bpy

    stand_in.server.worker = dataclasses.replace(stand_in.server.worker, device_bytes=24 * GB)
    layout = Recorder()
    addon("ui.model_rows").draw(layout, bpy.context)
    assert layout.words.count("Large") == 1 and "40.0 GB" in layout.words and "Streams" in layout.words
    assert "All Tasks" in layout.words and layout.orders.count("download_model") == 4
