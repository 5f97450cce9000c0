"""Operators on the preferences' list of machines: which one makes takes, what a test of it finds, folders it shares."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_data as data_

from .. import preferences
from ..jobs import folders, session
from ..stopwatch import timed
from .refusing import Refusing, Result


class _OnMachine(Refusing):
    """An operator on one machine of the list, counted from 1."""

    number: bpy.props.IntProperty(options={"HIDDEN", "SKIP_SAVE"})

    def machine(self) -> preferences.WanMachine | None:
        """The machine; None if the list has none of that number."""
        machines = preferences.get().machines
        if not 1 <= self.number <= len(machines):
            return None
        machine: preferences.WanMachine = machines[self.number - 1]
        return machine


class WAN_VSE_OT_add_machine(bpy.types.Operator):
    """Add another machine on which takes can be made, by the command line that starts the backend there"""

    bl_idname = "wan_vse.add_machine"
    bl_label = "Wan: Add Machine"
    bl_options: ClassVar = {"REGISTER"}

    @timed("operator add_machine")
    def execute(self, context: bpy.types.Context) -> Result:
        machines = preferences.get().machines
        names = {machine.name for machine in machines}
        name = stem = data_("Machine")
        number = 2
        while name in names:
            name, number = f"{stem} {number}", number + 1
        machines.add().name = name
        return {"FINISHED"}


class WAN_VSE_OT_remove_machine(_OnMachine, bpy.types.Operator):
    """Remove this machine from the list. Its jobs go on there, and come back once it is added again under its name"""

    bl_idname = "wan_vse.remove_machine"
    bl_label = "Wan: Remove Machine"
    bl_options: ClassVar = {"REGISTER"}

    @timed("operator remove_machine")
    def execute(self, context: bpy.types.Context) -> Result:
        wanted = preferences.get()
        if self.machine() is None:
            return {"CANCELLED"}
        wanted.machines.remove(self.number - 1)
        if wanted.used_machine >= self.number:
            wanted.used_machine = 0 if wanted.used_machine == self.number else wanted.used_machine - 1
        return {"FINISHED"}


class WAN_VSE_OT_use_machine(_OnMachine, bpy.types.Operator):
    """Make takes on this machine. Jobs of the one before stay there, and are shown again once it is used"""

    bl_idname = "wan_vse.use_machine"
    bl_label = "Wan: Use Machine"
    bl_options: ClassVar = {"REGISTER"}

    @timed("operator use_machine")
    def execute(self, context: bpy.types.Context) -> Result:
        wanted = preferences.get()
        if wanted.used_machine != self.number:
            wanted.used_machine = self.number
        return {"FINISHED"}


class WAN_VSE_OT_test_machine(_OnMachine, bpy.types.Operator):
    """See whether this machine answers, what card and models it has, and how quick the line to it is"""

    bl_idname = "wan_vse.test_machine"
    bl_label = "Wan: Test Machine"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "A machine is being tested" if session.current().machine_test.busy else ""

    @timed("operator test_machine")
    def execute(self, context: bpy.types.Context) -> Result:
        machine = folders.machine_at(preferences.get(), self.number)
        session.current().machine_test.start(replace(folders.backend_settings(), machine=machine))
        session.hurry()
        return {"FINISHED"}


class WAN_VSE_OT_add_path_pair(_OnMachine, bpy.types.Operator):
    """Add a folder that both machines see. What lies in it isn't sent, and takes in it are written in place"""

    bl_idname = "wan_vse.add_path_pair"
    bl_label = "Wan: Add Shared Folder"
    bl_options: ClassVar = {"REGISTER"}

    @timed("operator add_path_pair")
    def execute(self, context: bpy.types.Context) -> Result:
        machine = self.machine()
        if machine is None:
            return {"CANCELLED"}
        machine.pairs.add()
        return {"FINISHED"}


class WAN_VSE_OT_remove_path_pair(_OnMachine, bpy.types.Operator):
    """Take this folder for one that only this machine sees"""

    bl_idname = "wan_vse.remove_path_pair"
    bl_label = "Wan: Remove Shared Folder"
    bl_options: ClassVar = {"REGISTER"}

    pair: bpy.props.IntProperty(options={"HIDDEN", "SKIP_SAVE"})

    @timed("operator remove_path_pair")
    def execute(self, context: bpy.types.Context) -> Result:
        machine = self.machine()
        if machine is None or not 0 <= self.pair < len(machine.pairs):
            return {"CANCELLED"}
        machine.pairs.remove(self.pair)
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_add_machine,
    WAN_VSE_OT_remove_machine,
    WAN_VSE_OT_use_machine,
    WAN_VSE_OT_test_machine,
    WAN_VSE_OT_add_path_pair,
    WAN_VSE_OT_remove_path_pair,
)
