"""Names of files that are written again and again: a new version has the next number, and overwrites none."""

from __future__ import annotations

import os
import re

_NUMBERED = re.compile(r"(.*[._ -]v)(\d{1,6})")
DIGITS = 3
MAX_VERSIONS = 100_000


def free(path: str) -> str:
    """The path itself where no file is there; else that of the next version, such as film_v002.otio after film.otio."""
    if not os.path.lexists(path):
        return path
    stem, ending = os.path.splitext(path)
    found = _NUMBERED.fullmatch(os.path.basename(stem))
    before, number, digits = (stem + "_v", 1, DIGITS)
    if found is not None:
        before, number, digits = stem[: len(stem) - len(found[2])], int(found[2]), max(DIGITS, len(found[2]))
    versions = (f"{before}{number + more:0{digits}d}{ending}" for more in range(1, MAX_VERSIONS))
    return next(each for each in versions if not os.path.lexists(each))
