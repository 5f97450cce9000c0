"""When a take was made and from what, in words."""

from __future__ import annotations

import time

from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Role, Source, TakeRequest
from ..timeline import footage, provenance
from ..timeline.path_rules import shown

MAX_NAME = 60


def made(request: TakeRequest, asked: provenance.Provenance | None, made_seconds: float) -> str:
    """ "Made 2026-11-28 14:02 from 'shot_03.mov', frames 12 to 60". `asked` is what is known of its strips."""
    sources = _sources(request, asked)
    if not made_seconds:
        return iface_("Made from {}").format(sources)
    return iface_("Made {} from {}").format(date(made_seconds), sources)


def shortly(request: TakeRequest, asked: provenance.Provenance | None, made_seconds: float) -> str:
    """As much of that as a narrow line holds: what it was made from, or else when."""
    if request.sources or request.camera is not None or not made_seconds:
        return iface_("From {}").format(_sources(request, asked))
    return iface_("Made {}").format(date(made_seconds))


def date(seconds: float) -> str:
    """ "2026-11-28 14:02", in this machine's time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OSError, OverflowError, ValueError):
        return ""


def _sources(request: TakeRequest, asked: provenance.Provenance | None) -> str:
    if request.finish is not None:
        return _smaller(request)
    parts = [_rendered(source, asked) if source.rendered else _files(source) for source in request.pictured]
    if request.camera is not None:
        parts.insert(0, _camera(asked))
    return iface_(" and ").join(dict.fromkeys(parts)) if parts else iface_("words alone")


def _smaller(request: TakeRequest) -> str:
    """The take that a larger one was made of: the names of its files say nothing, as all takes have the same."""
    size = next((source.pictures for source in request.sources if source.pictures is not None), None)
    return iface_("a take of {} x {}").format(size.width, size.height) if size is not None else iface_("a smaller take")


def _camera(asked: provenance.Provenance | None) -> str:
    """The camera that a take followed."""
    known = asked.wanted if asked is not None else ()
    wanted = next((each for each in known if each.role is Role.CAMERA and each.strip_names), None)
    return iface_("a camera") if wanted is None else iface_("the camera of '{}'").format(_name(wanted.strip_names[0]))


def _files(source: Source) -> str:
    """A source that was read as it lies on the disk."""
    if not source.files:
        return iface_("footage")
    first, last = _name(source.files[0]), _name(source.files[-1])
    if source.is_movie:
        begin = source.first_frame + 1
        return iface_("'{}', frames {} to {}").format(first, begin, begin + max(1, source.frames) - 1)
    return iface_("'{}'").format(first) if first == last else iface_("'{}' to '{}'").format(first, last)


def _rendered(source: Source, asked: provenance.Provenance | None) -> str:
    """A source that was rendered: its strips, and the frames of the film."""
    known = asked.wanted if asked is not None else ()
    wanted = next((each for each in known if footage.name_of(each) == footage.name_of(source)), None)
    if wanted is None:
        return iface_("footage of the film")
    frames = (wanted.start, wanted.end_exclusive - 1)
    if not wanted.strip_names:
        return iface_("the film, frames {} to {}").format(*frames)
    names = ", ".join(iface_("'{}'").format(_name(name)) for name in wanted.strip_names[:3])
    return iface_("{} in the film's frames {} to {}").format(names, *frames)


def _name(name: str) -> str:
    """A name that a sentence can hold."""
    plain = shown(name)
    return plain if len(plain) <= MAX_NAME else f"{plain[: MAX_NAME - 3]}..."
