"""The protocol between Blender, the server and a worker.

Newline-delimited JSON-RPC 2.0 in UTF-8, on both hops. Blender's Python imports this package as well as the backend's,
so it needs nothing that is installed.

framing        bytes to lines and back, with a limit on a line's length
envelope       lines to JSON-RPC requests, responses and notifications
messages       the dataclasses that travel as params and results; some are in modules of their own
takes          a take: its request, sources and LoRAs, its plan and its job
choices        the enumerations
work           the messages between the server and a worker
workers        the messages about a server's workers and their cards
transfer       the messages by which media crosses a line to another machine
looks          the messages of looks: small drafts of what is being looked at
downloads      the messages about downloads
training       the messages about a training of a LoRA
uploads        what a file is that was sent to the page in a browser
cut            a cut, as it leaves for other programs and comes from them
cut_file       a cut as lines in a file
name_runs      file names that count up, as a pattern and a range
carrying       the lines of many workers on one pipe, to a cluster and back
methods        the methods and events of each hop, with their messages
conversion     dataclasses to JSON and back, checked
bounds         whether what a stranger wrote is within bounds
shallow_json   JSON of others, unless it is nested too deeply
plain_names    ids, file names and folders of a stranger's, by every system's rules
spoken         tasks and components as words in a sentence
sentences      sentences for a person, as templates and values
errors         error codes and the exceptions that carry them
endpoint       one end of a hop: lines in, calls out
media          the names of a take's files
take_names     the names of takes' folders
process_setup  what a child process does before it speaks
describe       writes docs/protocol.md
"""

from .errors import ProtocolError, Refusal
from .framing import MAX_LINE_BYTES, LineSplitter, OverlongLine, encode_line
from .messages import PROTOCOL_VERSION
from .sentences import Sentence

__all__ = [
    "MAX_LINE_BYTES",
    "PROTOCOL_VERSION",
    "LineSplitter",
    "OverlongLine",
    "ProtocolError",
    "Refusal",
    "Sentence",
    "encode_line",
]
