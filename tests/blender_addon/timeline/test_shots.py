"""A take knows the shot that a studio's tracker marked at its place; the strip that marks it stays as it is."""

from __future__ import annotations

from dataclasses import replace

import bpy
import pytest

from wan_backend.protocol.messages import FrameRate, Origin, TakeRequest

ASKED = TakeRequest("a cat", "wan-x", 64, 48, 8, FrameRate(24), 1, "/m", origin=Origin(start=30, channel=2))


@pytest.fixture
def marked(cut):
    """Two shots, marked above the cut as Blender Kitsu does it, and a strip that is marked by hand."""
    for name, start, end in (("SH 010", 1, 30), ("SH 020", 30, 60)):
        cut.effect(name, "COLOR", start, end, 9)["kitsu"] = {"sequence_name": "SQ 1", "shot_name": name}
    cut.effect("No shot", "COLOR", 60, 90, 9)["kitsu"] = {"sequence_name": "SQ 1", "shot_name": ""}
    return cut


@pytest.mark.parametrize(("frame", "shot"), [(1, "SQ 1 SH 010"), (29, "SQ 1 SH 010"), (30, "SQ 1 SH 020"), (60, "")])
def test_a_take_is_asked_for_with_the_shot_at_its_place(marked, addon, frame, shot):
    places = marked.places()
    asked = replace(ASKED, origin=replace(ASKED.origin, start=frame))
    assert addon("jobs.project").with_own_origin(asked, marked.scene).origin.shot == shot
    assert marked.places() == places


def test_a_property_group_names_the_shot_as_well(marked, addon):
    class Kitsu(bpy.types.PropertyGroup):
        shot_name: bpy.props.StringProperty()
        sequence_name: bpy.props.StringProperty()

    bpy.utils.register_class(Kitsu)
    kind = addon("timeline.compat").STRIP_TYPE
    kind.kitsu = bpy.props.PointerProperty(type=Kitsu)
    try:
        strip = marked.shot("One", 1, 20)
        assert addon("timeline.shots").shot_of(strip) == ""
        strip.kitsu.shot_name = "SH 030"
        assert addon("timeline.shots").shot_of(strip) == "SH 030"
    finally:
        del kind.kitsu
        bpy.utils.unregister_class(Kitsu)


@pytest.mark.parametrize("value", ["text", 7, {"shot_name": 3}, {"shot_name": {"a": "b"}}, [1, 2]])
def test_what_is_no_mark_is_none(cut, addon, value):
    strip = cut.shot("One", 1, 20)
    strip["kitsu"] = value
    assert addon("timeline.shots").shot_of(strip) == ""
