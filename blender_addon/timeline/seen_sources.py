"""What a take's sources were when it was asked for, as its strip keeps it. Needs no Blender.

It is a part of the Provenance, so that it goes wherever that goes. Digests of what was seen stand in it, and names for
the sentences that say what changed. Whatever is not as this module writes it is left out: a .blend may be anybody's.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from ...wan_backend.protocol import bounds

MAX_STRIPS = 40
"""At most this many strips are told apart; of a source made of more, these."""
MAX_OBJECTS = 60
"""At most this many objects of a scene are told apart; of more, only whether all are the same."""
MAX_FILES = 40
"""At most so many files of a scene are looked at."""
MAX_COUNT = 1 << 50
_DIGEST = re.compile(r"[0-9a-f]{0,32}")
VERSION = 2
"""Another version's digests say nothing: what goes into them may differ."""


@dataclass(frozen=True)
class SeenFiles:
    """The files that a source plays in the frames that are needed."""

    name: str
    """The first one's."""
    count: int
    size_bytes: int = 0
    stamp: str = ""
    """A digest of their sizes and dates; empty if these were too new to be trusted."""
    content: str = ""
    """A digest of what they hold; empty until they were read."""


@dataclass(frozen=True)
class SeenScene:
    """What a scene strip shows."""

    name: str
    shot: str
    """The frames, and the size that they are rendered in."""
    camera: str = ""
    objects: str = ""
    """Of all that are in view; empty until all were looked at."""
    by_name: tuple[tuple[str, str], ...] = ()
    """Each of them, if they are few."""
    behind: str = ""
    """Of nodes, particles and simulations (timeline.node_digests); empty until all were looked at."""
    behind_by_name: tuple[tuple[str, str], ...] = ()
    files: tuple[SeenFiles, ...] = ()
    """The files that are seen in it: images, caches, volumes."""


@dataclass(frozen=True)
class SeenStrip:
    """A strip that is seen in a source."""

    name: str
    role: str
    """The name of the source that it is a part of (footage.name_of)."""
    chosen: bool
    """Whether it is named as the source, or else seen below it or within it."""
    frames: str
    """A digest of which frames of its media are played."""
    look: str
    """A digest of its framing, its colors and whatever else is done to its pictures."""
    files: SeenFiles | None = None
    scene: SeenScene | None = None
    nodes: str = ""
    """A digest of the nodes of its modifiers; empty if it has none."""
    blender: str = ""
    """The version of Blender, on which `nodes` and `scene.behind` depend: they say nothing in another one."""


def digest(values: object, characters: int = 32) -> str:
    """A digest of plain values. Numbers are to be rounded before: Blender keeps them in 32 bits."""
    text = json.dumps(values, separators=(",", ":"), default=str).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).hexdigest()[:characters]


def as_json(seen: tuple[SeenStrip, ...]) -> dict[str, Any]:
    """What `read` reads."""
    return {"version": VERSION, "strips": [asdict(each) for each in seen[:MAX_STRIPS]]}


def read(values: Any) -> tuple[SeenStrip, ...]:
    """What is known of the sources; nothing where that isn't as it was written here."""
    try:
        if values["version"] != VERSION:
            return ()
        return tuple(_strip(each) for each in _few(values["strips"], MAX_STRIPS))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _strip(values: dict[str, Any]) -> SeenStrip:
    files, scene = values["files"], values["scene"]
    return SeenStrip(
        _name(values["name"]),
        _name(values["role"]),
        values["chosen"] is True,
        _known(values["frames"]),
        _known(values["look"]),
        None if files is None else _files(files),
        None if scene is None else _scene(scene),
        _known(values["nodes"]),
        _name(values["blender"]),
    )


def _files(values: dict[str, Any]) -> SeenFiles:
    counts = (values["count"], values["size_bytes"])
    if any(isinstance(each, bool) or not isinstance(each, int) or not 0 <= each < MAX_COUNT for each in counts):
        raise ValueError("no number of files")
    return SeenFiles(_name(values["name"]), *counts, _known(values["stamp"]), _known(values["content"]))


def _scene(values: dict[str, Any]) -> SeenScene:
    by_name, behind_by_name = (
        tuple((_name(name), _known(of)) for name, of in _few(values[key], MAX_OBJECTS))
        for key in ("by_name", "behind_by_name")
    )
    shot, camera, objects, behind = (_known(values[key]) for key in ("shot", "camera", "objects", "behind"))
    files = tuple(map(_files, _few(values["files"], MAX_FILES)))
    return SeenScene(_name(values["name"]), shot, camera, objects, by_name, behind, behind_by_name, files)


def _few(values: Any, most: int) -> list[Any]:
    if not isinstance(values, list) or len(values) > most:
        raise ValueError("no list")
    return values


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > bounds.MAX_NAME or "\0" in value:
        raise ValueError("no name")
    value.encode()  # half a character can't be drawn
    return value


def _known(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("no digest")
    return value
