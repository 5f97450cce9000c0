"""Puts a take's words over time back onto the timeline, as text strips above it, to be edited and used again."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import takes_again
from ..stopwatch import timed
from ..timeline import compat, free_space
from . import takes
from .refusing import OnTimeline, Result

NO_WORDS = "The shown take has no words over time"
NAME_CHARACTERS = 40


class WAN_VSE_OT_words_as_strips(OnTimeline, bpy.types.Operator):
    """Put the words over time of the shown take above it, as muted text strips"""

    bl_idname = "wan_vse.words_as_strips"
    bl_label = "Wan: Words as Text Strips"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        strip = takes.take_strip(context)
        made = takes.how_made(strip) if strip is not None else None
        return "" if made is not None and made.words else NO_WORDS

    @timed("operator words_as_strips")
    def execute(self, context: bpy.types.Context) -> Result:
        scene: Any = compat.sequencer_scene(context)
        strip: Any = takes.take_strip(context)
        made: Any = takes.how_made(strip)
        begin = takes_again.first_frame(strip)
        places = [(begin + each.first, begin + each.last + 1) for each in made.words]
        start, end = min(first for first, _ in places), max(after for _, after in places)
        channel = free_space.first_free_channel(scene, start, end, strip.channel + 1)
        if channel is None:
            self.report({"WARNING"}, "There is no free channel above the take: make room there.")
            return {"CANCELLED"}
        collection = compat.shown_strips(scene)
        for each, (first, after) in zip(made.words, places, strict=True):
            name = " ".join(each.prompt.split())[:NAME_CHARACTERS]
            words: Any = compat.new_text(collection, name, channel, first, after - first)
            words.text, words.mute, words.select = each.prompt, True, False
        self.report({"INFO"}, rpt_("Put {} text strips on channel {}.").format(len(places), channel))
        return {"FINISHED"}


CLASSES = (WAN_VSE_OT_words_as_strips,)
