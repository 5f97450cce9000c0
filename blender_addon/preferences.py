"""The extension's preferences: where things are and what may be used. ui/preferences_page.py draws them."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .jobs import session

PACKAGE = __package__.rpartition(".")[0]
"""The extension's own package ("bl_ext.user_default.wan_vse"), by which Blender knows its preferences."""

DEVICES = [
    ("auto", "Automatic", "Use a supported graphics card, or else the processor"),
    ("cuda", "Graphics Card (CUDA or ROCm)", "Use an NVIDIA card, or an AMD card under ROCm"),
    ("mps", "Apple GPU", "Use the GPU of an Apple chip"),
    ("cpu", "Processor", "Use only the processor, which is very slow with large models"),
]

ANNOUNCEMENTS = [
    ("NEVER", "Never", "Say it in Blender's status bar alone"),
    ("TAKE", "After Each Take", "Each take that lands on the timeline, and each that fails"),
    ("QUEUE", "At the End of the Queue", "When nothing is left to be made"),
]


def _backend_changed(self: Any, context: bpy.types.Context) -> None:
    """Restart the backend, which reads these when it starts; offer a button where a restart would lose work."""
    current = session.current()
    if current.server.status.state == "off":
        return
    if current.server.downloads.busy or current.order().going_on:
        manager: Any = context.window_manager
        manager.wan_vse.restart_needed = True
    else:
        current.restart()


def _page(preferences: WanPreferences, context: bpy.types.Context) -> None:
    """Stand for ui.preferences_page.draw, which is put into `draw_page`, because ui imports this module."""


draw_page = _page


class WanPathPair(bpy.types.PropertyGroup):
    """A folder that two machines see, each under its own path."""

    near: StringProperty(
        name="Here",
        description="The shared folder's path on this machine",
        subtype="DIR_PATH",
        update=_backend_changed,
    )
    far: StringProperty(
        name="There",
        description="The same folder's path on the other machine",
        update=_backend_changed,
    )


class WanMachine(bpy.types.PropertyGroup):
    """Another machine on which takes can be made; its name is what a person calls it."""

    command: StringProperty(
        name="Command",
        description="The command line that starts the backend there, with ssh's own configuration and keys: for "
        "example ssh box wan-backend serve, or docker run -i --gpus all IMAGE serve",
        update=_backend_changed,
    )
    pairs: CollectionProperty(
        name="Shared Folders",
        description="Folders that this machine and the other one both see",
        type=WanPathPair,
    )


class WanPreferences(bpy.types.AddonPreferences):
    """Settings that hold for every project on this machine."""

    bl_idname = PACKAGE

    backend_command: StringProperty(
        name="Backend",
        description="A Python with the backend's packages. Leave it empty to use the one that Set Up Backend installed",
        subtype="FILE_PATH",
        update=_backend_changed,
    )
    machines: CollectionProperty(
        name="Machines",
        description="Other machines on which takes can be made",
        type=WanMachine,
    )
    used_machine: IntProperty(
        name="Used Machine",
        description="The number of the machine in the list that makes takes. Zero is this machine",
        default=0,
        min=0,
        update=_backend_changed,
    )
    models_folder: StringProperty(
        name="Models Folder",
        description="A folder with Wan models in the diffusers layout, or ComfyUI's models folder. Models are also "
        "downloaded into it. The Hugging Face cache is always searched, and used for downloads if this is empty",
        subtype="DIR_PATH",
        update=_backend_changed,
    )
    loras_folder: StringProperty(
        name="LoRA Folder",
        description="The folder with your LoRAs, such as ComfyUI's models/loras, for the panel to choose from",
        subtype="DIR_PATH",
    )
    device: EnumProperty(
        name="Device",
        description="What the models run on",
        items=DEVICES,
        default="auto",
        update=_backend_changed,
    )
    cards: StringProperty(
        name="Graphics Cards",
        description="The UUIDs of the graphics cards that may be used, with spaces between, as nvidia-smi -L lists "
        "them. Each of them makes takes of its own. Leave it empty to use all",
        update=_backend_changed,
    )
    cards_per_take: IntProperty(
        name="Cards for a Take",
        description="How many cards make each take together, so that it ends sooner. Several takes are done sooner "
        "with one for each",
        default=1,
        min=1,
        max=8,
        update=_backend_changed,
    )
    memory_budget_gib: FloatProperty(
        name="Memory Budget",
        description="How much of a card's memory to use, in GiB, leaving the rest for Blender. Zero uses all of it",
        default=0.0,
        min=0.0,
        max=1024.0,
        soft_max=96.0,
        step=100,
        precision=1,
        update=_backend_changed,
    )
    warm_up: BoolProperty(
        name="Load Model in Advance",
        description="Load the model that the sidebar shows as soon as it is seen, so that the first take begins at "
        "once. From then on the model holds memory of the card and of the machine. It leaves when it has been idle, or "
        "when other programs need the memory",
        default=True,
    )
    idle_minutes: IntProperty(
        name="Unload After",
        description="Minutes after the last take until the model leaves memory. Zero keeps it until Blender ends, "
        "as long as no other program needs the memory",
        default=30,
        min=0,
        max=24 * 60,
        soft_max=240,
        update=_backend_changed,
    )
    enter_makes_take: BoolProperty(
        name="Enter Makes a Take",
        description="Enter in the prompt of the selected take makes that take with the new words and the same seed. "
        "Leaving the field otherwise, as by a click elsewhere, only keeps the words",
        default=True,
    )
    media_folder: StringProperty(
        name="Media Folder",
        description="Where takes are kept. Leave it empty to keep them in a folder named wan beside the .blend file",
        subtype="DIR_PATH",
    )
    certificate: StringProperty(
        name="Certificate",
        description="A file (PEM) with your certificate and those of its authorities, to sign H.264 movies with "
        "(Content Credentials, C2PA). Leave it empty to sign nothing",
        subtype="FILE_PATH",
        update=_backend_changed,
    )
    private_key: StringProperty(
        name="Private Key",
        description="The file (PEM, without a passphrase) with the certificate's private key. It is read when a movie "
        "is signed, and never copied",
        subtype="FILE_PATH",
        update=_backend_changed,
    )
    announce: EnumProperty(
        name="Announce Takes",
        description="When to call you back while you work elsewhere",
        items=ANNOUNCEMENTS,
        default="NEVER",
    )
    announce_by_sound: BoolProperty(
        name="Play Sound",
        description="Play two short tones",
        default=True,
    )
    announce_by_notice: BoolProperty(
        name="Show Notice",
        description="Show a notice of the system, where it has notify-send, osascript or PowerShell for that. It "
        "has no word of your prompts",
        default=True,
    )

    def draw(self, context: bpy.types.Context) -> None:
        draw_page(self, context)


def get() -> WanPreferences:
    """The preferences of this extension."""
    addons: Any = bpy.context.preferences.addons
    ours: WanPreferences = addons[PACKAGE].preferences
    return ours


def register() -> None:
    """Make the preferences known to Blender."""
    for one in (WanPathPair, WanMachine, WanPreferences):
        bpy.utils.register_class(one)


def unregister() -> None:
    """Take them back."""
    for one in (WanPreferences, WanMachine, WanPathPair):
        bpy.utils.unregister_class(one)
