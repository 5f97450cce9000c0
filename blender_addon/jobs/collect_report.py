"""A readable list, beside the .blend, of what a film was made with and what is missing of it, for a colleague."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.storage import whole_file
from ..timeline import identity, strip_takes, take_strips, untrusted
from . import film_footage

FILE = "{} - what it needs.txt"


def write(blend: str) -> Path:
    """Write the list; returns its place. Raises OSError."""
    file = Path(blend).with_name(FILE.format(Path(blend).stem))
    whole_file.write(file, ("\n".join(_lines(blend)) + "\n").encode("utf-8", "replace"))
    return file


def _lines(blend: str) -> list[str]:
    beside = os.path.dirname(blend)
    takes = {take.folder: take for found in identity.all_marked() for take in strip_takes.takes_of(found.strip)}
    gone = [folder for folder, take in takes.items() if take_strips.missing_refusal(take.files())]
    lines = [
        iface_("What {} needs").format(os.path.basename(blend)),
        "",
        iface_("The film plays without Wan VSE. To make takes again, its models and LoRAs are needed."),
        iface_("Takes on strips: {}").format(len(takes)),
    ]
    models, loras = _made_with()
    lines += _listed(iface_("Models"), sorted(models))
    lines += _listed(iface_("LoRAs (not copied)"), sorted(loras))
    lines += _listed(iface_("Missing takes"), sorted(_shown(folder, beside) for folder in gone))
    lines += _listed(iface_("Missing footage"), [_shown(path, beside) for path in film_footage.missing()])
    lines += _listed(
        iface_("Linked files (not copied)"), sorted(bpy.path.abspath(each.filepath) for each in bpy.data.libraries)
    )
    return lines


def _made_with() -> tuple[set[str], set[str]]:
    models: set[str] = set()
    loras: set[str] = set()
    for found in identity.all_marked():
        request = untrusted.request(found.request_text)
        if request is not None:
            models.add(request.model)
            loras.update(os.path.basename(use.path.replace("\\", "/")) for use in request.loras)
    return models, loras


def _listed(title: str, items: list[str]) -> list[str]:
    return ["", f"{title}: {len(items)}", *(f"  {item}" for item in items)]


def _shown(path: str, beside: str) -> str:
    """Relative where it lies beside the film."""
    return os.path.relpath(path, beside) if path.startswith(beside + os.sep) else path
