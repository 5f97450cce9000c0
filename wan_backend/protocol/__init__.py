"""The one definition of what crosses between Blender, the server and a worker.

Newline-delimited JSON-RPC 2.0 in UTF-8, on both hops. Standard library only: this package is imported by
Blender's Python as well as by the backend's, and must never import bpy, torch or anything installed.

framing     bytes to lines and back, with a limit on a line's length
envelope    lines to JSON-RPC requests, responses and notifications
messages    the dataclasses that travel as params and results
takes       those of them that say what a take is
choices     the words that can be chosen in them
work        those of them that a worker and the server exchange
downloads   those of them that say how far a model is fetched
loras       those of them that say which LoRAs it is made with
methods     which method takes and gives which message, on which hop
conversion  dataclasses to JSON and back, checked
errors      error codes and the exceptions that carry them
"""

from .errors import ProtocolError, Refusal
from .framing import MAX_LINE_BYTES, LineSplitter, OverlongLine, encode_line
from .messages import PROTOCOL_VERSION

__all__ = [
    "MAX_LINE_BYTES",
    "PROTOCOL_VERSION",
    "LineSplitter",
    "OverlongLine",
    "ProtocolError",
    "Refusal",
    "encode_line",
]
