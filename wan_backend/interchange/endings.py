"""The endings of files that a clip may play: no playlist or scene file, which would have further files opened."""

from __future__ import annotations

PICTURES = (".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".bmp", ".tga", ".webp", ".dpx", ".cin", ".hdr", ".jp2")
MOVIES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mxf",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".m2ts",
    ".ogv",
    ".dv",
)
SOUNDS = (".wav", ".mp3", ".flac", ".ogg", ".oga", ".aac", ".m4a", ".aif", ".aiff", ".opus")
ALL = PICTURES + MOVIES + SOUNDS
