"""Asks the server for small pictures of what takes are made from, when a panel shows it. No bpy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.conversion import to_json
from ...wan_backend.protocol.errors import GONE
from ...wan_backend.protocol.messages import Source, TakeRequest, Thumbnail, ThumbnailsParams, ThumbnailsResult
from ..backend.client import Client

QUIET_SECONDS = 0.3
"""So long nothing else may be looked at before the question is sent."""
MOST = 100
"""So many answers are remembered."""


class Thumbnails:
    """What the server said of sources, by what was asked."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._known: dict[str, list[Thumbnail]] = {}
        self._wanted: ThumbnailsParams | None = None
        self._wanted_since = 0.0
        self._asking = False

    def of(self, request: TakeRequest) -> list[Thumbnail]:
        """The pictures of what `request` is made from; none until they are known. Safe in a draw."""
        if not request.sources:
            return []
        sources = [_ends(source) for source in request.sources]
        params = ThumbnailsParams(sources, request.width, request.height, request.guide)
        known = self._known.get(_key(params))
        if known is None and params != self._wanted:
            self._wanted, self._wanted_since = params, time.monotonic()
        return known or []

    def tick(self, client: Client) -> None:
        """Ask for what was looked at last, if it has been left alone for a moment and its files are there."""
        wanted = self._wanted
        if wanted is None or self._asking or time.monotonic() - self._wanted_since < QUIET_SECONDS:
            return
        self._wanted = None
        if _key(wanted) in self._known:  # drawn again while the answer was on its way
            return
        if not all(_is_there(source) for source in wanted.sources):
            return  # what is to be rendered; the next draw asks again
        self._asking = True

        def answered(result: ThumbnailsResult) -> None:
            self._asking = False
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[_key(wanted)] = result.pictures
            self._on_change()

        def failed(error: ProtocolError) -> None:
            if error.code == GONE:
                self._asking = False
            else:
                answered(ThumbnailsResult([]))

        client.call("thumbnails", wanted, answered, failed)

    @property
    def busy(self) -> bool:
        """True while something is to be asked, or was."""
        return self._asking or self._wanted is not None

    def forget(self) -> None:
        """The server is gone, and with it the answer that was waited for; files may be other ones by now."""
        self._asking = False
        self._known.clear()


def _ends(source: Source) -> Source:
    """The source with its first and its last picture alone: no other is shown, and a long one would be a long line."""
    if source.is_movie or len(source.files) < 3:
        return source
    return replace(source, files=[source.files[0], source.files[-1]], frames=2)


def _is_there(source: Source) -> bool:
    return all(os.path.isfile(os.path.join(source.folder, name)) for name in {*source.files[:1], *source.files[-1:]})


def _key(params: ThumbnailsParams) -> str:
    return str(to_json(params))
