"""Files as the URLs of media references, and back.

Programs differ in what they escape, and some write plain paths. Whatever is read is a path on this machine or nothing:
a server's name, or any other scheme, is never asked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

_DRIVE = re.compile(r"/?[A-Za-z]:[\\/]")
_SPECIAL = re.compile(r"[%#?]")


def url_of(path: str) -> str:
    """The URL of an absolute path; a relative one stays relative, with what a URL can't hold escaped."""
    return Path(path).as_uri() if os.path.isabs(path) else quote(path)


def part_of_url(text: str) -> str:
    """What an image sequence's URL has before or after its numbers: only what would end the path is escaped."""
    return _SPECIAL.sub(lambda found: quote(found[0]), text)


def path_in(url: str, base: str) -> str:
    """The path that a URL means, by the file's folder `base` where it is relative; empty for none on this machine."""
    if "\0" in url or url.startswith(("//", "\\\\")):
        return ""
    if _DRIVE.match(url):
        return url.lstrip("/")
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return ""
    if not parts.scheme:  # a path may hold ? and #, and programs write them as they are
        return os.path.normpath(os.path.join(base, unquote(url))) if url else ""
    path = unquote(parts.path)
    if path.startswith("//"):
        return ""
    if _DRIVE.match(path):
        return path.lstrip("/")
    return os.path.normpath(url2pathname(quote(path))) if path else ""


def split(path: str) -> tuple[str, str]:
    """The folder and the name of a path of whatever system."""
    if _DRIVE.match(path):
        folder, _, name = path.replace("\\", "/").rpartition("/")
        return folder, name
    return os.path.split(path)


def path_part(text: str) -> str:
    """What `part_of_url` wrote, as it is in a file's name."""
    return unquote(text)
