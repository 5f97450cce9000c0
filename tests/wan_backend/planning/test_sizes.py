"""Sizes: what a model can do, nearest to what was asked, and said where changed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_backend.properties import bounded
from wan_backend.catalogue import entries
from wan_backend.planning import sizes

EMBEDDED, SMALL = entries.entry("embedded"), entries.entry("wan2.1-t2v-1.3b")
ANY_SIDE = st.integers(1, 1 << 20)
BOUNDED = bounded(80)


def test_what_was_changed_is_said():
    made = sizes.snap(SMALL, 832, 470)
    assert (made.width, made.height) == (832, 464)
    assert made.notes == ["832x470 became 832x464: the model needs multiples of 16."]


@pytest.mark.parametrize(
    ("width", "height", "name", "wanted"),
    [
        (1920, 1080, "480p", (832, 480)),
        (1080, 1920, "480p", (480, 832)),
        (1920, 1080, "720p", (1280, 720)),
        (1000, 1000, "480p", (640, 640)),
        (2048, 858, "480p", (992, 416)),
    ],
)
def test_sizes_that_an_editor_meets(width, height, name, wanted):
    made = sizes.snap(SMALL, width, height, name)
    assert (made.width, made.height) == wanted and made.notes == []


@pytest.mark.parametrize("entry", entries.load().models.values(), ids=lambda entry: entry.id)
@BOUNDED
@given(width=ANY_SIDE, height=ANY_SIDE, data=st.data())
def test_any_size_becomes_one_that_the_model_can_do(entry, width, height, data):
    name = data.draw(st.sampled_from(["exact", *(size.name for size in entry.sizes)]))
    made = sizes.snap(entry, width, height, name)
    for side in (made.width, made.height):
        assert side % entry.multiple == 0 and entry.sides[0] <= side <= entry.sides[1]
    named = entry.size(name)
    most = max(sizes.largest_pixels(entry), 0 if named is None else named.width * named.height)
    assert made.width * made.height <= most * 1.3
    if name == "exact" and (made.width, made.height) != (width, height):
        assert len(made.notes) == 1 and f"became {made.width}x{made.height}" in made.notes[0]


def test_a_size_beyond_the_training_comes_by_name_alone_and_with_a_warning():
    large = entries.entry("wan2.2-t2v-a14b")
    made = sizes.snap(large, 1920, 1080, "1080p")
    assert (made.width, made.height) == (1920, 1088) and "trained at smaller sizes" in made.notes[0]
    assert "trained at smaller sizes" in sizes.snap(large, 2048, 858, "1080p").notes[0]
    scene = sizes.snap(large, 1920, 1080)
    assert (scene.width, scene.height) == (1280, 720)


@BOUNDED
@given(width=st.integers(640, 4096), height=st.integers(640, 4096))
def test_the_aspect_is_kept_by_a_named_size(width, height):
    made = sizes.snap(SMALL, width, height, "480p")
    if 1 / 3 < width / height < 3:
        assert abs(math.log(made.width / made.height / (width / height))) < 0.035
        assert 0.85 < made.width * made.height / (832 * 480) < 1.07


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0), (-1, 10), (-5, -5)])
def test_no_pixels_is_refused(width, height):
    assert "no pixels" in sizes.snap(EMBEDDED, width, height).sentence


def test_an_unknown_name_lists_the_known_ones():
    assert "choose one of 128p, 144p, 208p" in sizes.snap(EMBEDDED, 16, 9, "480p").sentence
