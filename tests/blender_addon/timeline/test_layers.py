"""What lies below a strip is rendered with it if the preview shows it, whatever the strip is and how it lies."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pictures
import pytest

WIDTH, HEIGHT = 64, 36
FRAMES = range(3, 5)
STRIP = bpy.types.Strip if hasattr(bpy.types, "Strip") else bpy.types.Sequence
BLENDS = [item.identifier for item in STRIP.bl_rna.properties["blend_type"].enum_items]


class Layers:
    """Strips of every kind over one another; `chosen` is the name of the one that is asked for, the topmost."""

    chosen = "chosen"

    def __init__(self, scene, addon, folder) -> None:
        scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
        self.scene, self.compat, self.folder = scene, addon("timeline.compat"), folder
        self.strips = self.compat.strips(scene.sequence_editor)

    def effect(self, name: str, kind: str, channel: int, *inputs, start=1, length=12, into=None) -> Any:
        into = self.strips if into is None else into
        names = into.bl_rna.functions["new_effect"].parameters.keys()
        sides = ("input1", "input2") if "input1" in names else ("seq1", "seq2")
        place = {"length": length} if "length" in names else {"frame_end": start + length}
        place |= dict(zip(sides, inputs, strict=False))
        return into.new_effect(name=name, type=kind, channel=channel, frame_start=start, **place)

    def color(self, name: str, channel: int, color=(0.8, 0.5, 0.2), **more) -> Any:
        strip = self.effect(name, "COLOR", channel, **more)
        strip.color = color
        return strip

    def picture(self, name: str, channel: int, alpha: int | None = None, size=(WIDTH, HEIGHT), into=None) -> Any:
        drawn = pictures.drawn(*size, channel)
        if alpha is not None:
            drawn = np.dstack([drawn, np.full(size[::-1], alpha, np.uint8)])
        file = pictures.write_png(self.folder / f"{name}.png", drawn)
        into = self.strips if into is None else into
        strip = into.new_image(name, str(file), channel, 1, fit_method="ORIGINAL")
        self.compat.set_handles(strip, 1, 13)
        return strip

    def meta(self, name: str, channel: int, fill: Callable[[Any], object], into=None) -> Any:
        into = self.strips if into is None else into
        into.new_meta(name, channel, 1)
        meta = into[name]
        fill(self.compat.strips(meta))
        self.compat.set_handles(meta, 1, 13)
        return meta


def _blended(blend: str, opacity: float = 1.0):
    def make(on: Layers) -> None:
        on.picture("below", 1)
        strip = on.color("chosen", 2, (0.3, 0.6, 0.8))
        strip.blend_type, strip.blend_alpha = blend, opacity

    return make


def _below_and(make: Callable[[Layers], object]):
    def both(on: Layers) -> None:
        on.picture("below", 1)
        make(on)

    return both


def _multicam(on: Layers) -> None:
    on.picture("one", 1)
    on.color("two", 2, (0.1, 0.9, 0.4)).blend_alpha = 0.5
    on.color("three", 3)
    on.effect("chosen", "MULTICAM", 5).multicam_source = 2


def _multicam_with_a_muted_channel(on: Layers) -> None:
    _multicam(on)
    on.scene.sequence_editor.channels[2].mute = True


def _speed_of_a_multicam(on: Layers) -> None:
    _multicam(on)
    on.strips["chosen"].name = "cam"
    on.effect("chosen", "SPEED", 6, on.strips["cam"])


def _adjusted(on: Layers, into=None, channel: int = 4, name: str = "chosen") -> None:
    strip = on.effect(name, "ADJUSTMENT", channel, into=into)
    strip.modifiers.new("Lift", "BRIGHT_CONTRAST").bright = 20


def _effect_of(kind: str, **values):
    def make(on: Layers) -> None:
        on.picture("below", 1)
        strip = on.effect("chosen", kind, 4, on.picture("one", 2, 128), on.picture("two", 3, size=(40, 20)))
        for name, value in values.items():
            setattr(strip, name, value)

    return make


def _glow_over_a_screen(on: Layers) -> None:
    on.picture("below", 1)
    on.effect("chosen", "GLOW", 3, on.color("one", 2)).blend_type = "SCREEN"


def _partly_there(on: Layers) -> None:
    on.color("below", 1, start=4, length=5)
    on.picture("chosen", 2, 128)


def _muted_below(on: Layers) -> None:
    on.picture("below", 1)
    on.color("muted", 2).mute = True
    on.color("closed", 3)
    on.scene.sequence_editor.channels[3].mute = True
    on.picture("chosen", 4, 100)


def _masked(on: Layers) -> None:
    strip = on.picture("chosen", 2)
    modifier = strip.modifiers.new("Mask", "MASK") if hasattr(strip.modifiers, "new") else None
    modifier.input_mask_type = "STRIP"
    mask = on.color("mask", 3, (0.5, 0.5, 0.5))
    mask.mute = True
    modifier.input_mask_strip = mask


def _transparent_scene(on: Layers) -> None:
    scene = bpy.data.scenes.new("Street")
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.film_transparent = True
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    on.strips.new_scene("chosen", scene, 2, 1)
    on.compat.set_handles(on.strips["chosen"], 1, 13)


def _set(make: Callable[[Layers], Any], **values):
    def changed(on: Layers) -> None:
        on.picture("below", 1)
        strip = make(on)
        for name, value in values.items():
            owner = next(o for o in (strip.transform, strip.crop, strip) if hasattr(o, name))
            setattr(owner, name, value)

    return changed


def _seen_at_times(on: Layers) -> None:
    below = on.color("below", 1)
    for frame, mute in ((1, True), (4, False)):
        below.mute = mute
        below.keyframe_insert("mute", frame=frame)
    on.scene.frame_set(1)
    on.picture("chosen", 2, 128)


KINDS: dict[str, Callable[[Layers], object]] = {
    **{blend: _blended(blend) for blend in BLENDS},
    **{f"{blend}, half": _blended(blend, 0.5) for blend in ("REPLACE", "CROSS", "ALPHA_OVER", "SCREEN")},
    "multicam": _multicam,
    "multicam with a muted channel": _multicam_with_a_muted_channel,
    "speed of a multicam": _speed_of_a_multicam,
    "adjustment": _below_and(_adjusted),
    "adjustment in a meta": _below_and(lambda on: on.meta("chosen", 3, lambda inner: _adjusted(on, inner, 1, "in"))),
    "adjustment in a meta in a meta": _below_and(
        lambda on: on.meta(
            "chosen", 3, lambda outer: on.meta("mid", 1, lambda inner: _adjusted(on, inner, 1, "in"), outer)
        )
    ),
    "meta of something clear": _below_and(
        lambda on: on.meta("chosen", 3, lambda inner: on.picture("in", 1, 100, into=inner))
    ),
    "meta that multiplies": _below_and(
        lambda on: setattr(
            on.meta("chosen", 3, lambda inner: on.picture("in", 2, into=inner)), "blend_type", "MULTIPLY"
        )
    ),
    "cross": _effect_of("CROSS"),
    "gamma cross that is added": _effect_of("GAMMA_CROSS", blend_type="ADD"),
    "color mix": _effect_of("COLORMIX", blend_effect="SCREEN"),
    "wipe": _effect_of("WIPE"),
    "alpha over of two": _effect_of("ALPHA_OVER"),
    "glow over a screen": _glow_over_a_screen,
    "clear picture": _below_and(lambda on: on.picture("chosen", 2, 128)),
    "smaller picture": _below_and(lambda on: on.picture("chosen", 2, size=(40, 36))),
    "turned": _set(lambda on: on.picture("chosen", 2), rotation=0.3),
    "cropped": _set(lambda on: on.picture("chosen", 2), min_x=9, max_y=4),
    "mirrored and moved": _set(lambda on: on.picture("chosen", 2), use_flip_x=True, offset_x=11),
    "partly there": _partly_there,
    "muted below": _muted_below,
    "muted at times": _seen_at_times,
    "masked": _below_and(_masked),
    "transparent scene": _below_and(_transparent_scene),
    "opaque picture": _below_and(lambda on: on.picture("chosen", 2)),
    "nothing below": lambda on: on.picture("chosen", 2, 128),
}


@pytest.fixture
def layers(scene, addon, tmp_path) -> Layers:
    return Layers(scene, addon, tmp_path)


@pytest.fixture
def asked(scene, addon, tmp_path) -> SimpleNamespace:
    footage, frames = addon("timeline.footage"), addon("background.frames")
    wanted = footage.FootageRange(footage.Role.FOOTAGE, FRAMES.start, FRAMES.stop, ("chosen",))

    def sent() -> list[np.ndarray]:
        """The frames as the background's Blender makes them."""
        seen = footage.render_inputs(scene, wanted)
        changed = frames.show_only(scene, ["chosen"], seen.alone)
        try:
            return pictures.render_range(scene, FRAMES, tmp_path / "sent")
        finally:
            for strip, was in changed:
                strip.mute = was

    def refused() -> str:
        refusal = footage.source_or_render(scene, wanted, "/job")
        assert isinstance(refusal, str)
        return refusal

    return SimpleNamespace(
        sent=sent,
        seen=lambda: footage.render_inputs(scene, wanted),
        source=lambda: footage.source_or_render(scene, wanted, str(tmp_path / "job")),
        refused=refused,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_strip_is_rendered_as_the_preview_shows_it(layers, asked, scene, tmp_path, kind) -> None:
    KINDS[kind](layers)
    shown = pictures.render_range(scene, FRAMES, tmp_path / "shown")
    over = layers.color("over", 20, (1.0, 0.0, 1.0))  # what lies above the strip is no part of it
    over.blend_alpha = 0.7
    over.mute = False
    over.keyframe_insert("mute", frame=1)
    for own, sent in zip(shown, asked.sent(), strict=True):
        assert np.array_equal(own, sent), kind
    _, rendered = asked.source()
    assert rendered or kind in ("opaque picture", "nothing below"), "its files alone don't show it"


HIDES = ("opaque picture", "nothing below", "REPLACE", "REPLACE, half", "CROSS", "clear but replaced", "opaque color")


@pytest.mark.parametrize("kind", HIDES)
def test_what_is_hidden_is_not_looked_at(layers, asked, kind) -> None:
    if kind == "clear but replaced":
        layers.picture("chosen", 2, 128).blend_type = "REPLACE"
    elif kind == "opaque color":
        layers.color("chosen", 2)
    else:
        KINDS[kind](layers)
    if kind != "nothing below":
        if "below" in layers.strips:
            layers.strips.remove(layers.strips["below"])
        layers.picture("lost", 1, 255)
        (layers.folder / "lost.png").unlink()
    assert asked.seen().alone
    layers.strips["chosen"].blend_type = "MULTIPLY"
    if kind != "nothing below":
        assert "lost.png" in asked.refused()


def test_what_only_shows_others_and_has_none_to_show_is_a_sentence(layers, asked) -> None:
    adjust = layers.effect("chosen", "ADJUSTMENT", 2)
    assert "Nothing lies below 'chosen' from frame 3 to 4" in asked.refused()
    layers.color("below", 1).mute = True
    assert "Nothing lies below" in asked.refused(), "a muted strip isn't seen"
    layers.strips["below"].mute = False
    layers.scene.sequence_editor.channels[1].mute = True
    assert "Nothing lies below" in asked.refused(), "nor is one on a muted channel"
    layers.scene.sequence_editor.channels[1].mute = False
    assert asked.source()[1]
    layers.strips.remove(adjust)
    cam = layers.effect("chosen", "MULTICAM", 3)
    cam.multicam_source = 0
    assert "shows channel 0, where nothing is seen" in asked.refused()
    cam.multicam_source = 2
    assert asked.source()[1], "it shows what lies on and below that channel"


def test_an_adjustment_in_an_open_meta_shows_what_this_blender_shows(layers, asked, scene, tmp_path) -> None:
    layers.picture("below", 1)
    meta = layers.meta("meta", 3, lambda inner: _adjusted(layers, inner, 2))
    scene.sequence_editor.display_stack(meta)
    shown = pictures.render_range(scene, FRAMES, tmp_path / "shown")
    if shown[0].std() == 0:  # since 5.2 an open meta strip is a world of its own
        assert "Nothing lies below 'chosen'" in asked.refused()
    else:
        assert asked.source()[1]
        assert all(np.array_equal(own, sent) for own, sent in zip(shown, asked.sent(), strict=True))
        layers.strips["below"].mute = True
        assert "Nothing lies below" in asked.refused()
    layers.picture("in", 1, into=layers.compat.strips(meta))
    shown = pictures.render_range(scene, FRAMES, tmp_path / "shown")
    assert all(np.array_equal(own, sent) for own, sent in zip(shown, asked.sent(), strict=True))
    meta.channels[1].mute = True
    assert "Nothing lies below" in asked.refused()


def test_an_effect_below_what_looks_down_is_a_sentence(layers, asked) -> None:
    layers.picture("below", 1)
    cam = layers.effect("cam", "MULTICAM", 3)
    cam.multicam_source = 1
    layers.effect("chosen", "SPEED", 4, cam)
    assert asked.source()[1]
    layers.strips["chosen"].channel = 2
    assert "move 'chosen' to a channel above 3" in asked.refused()
