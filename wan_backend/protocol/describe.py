"""Writes docs/protocol.md from the messages and their docstrings.

    python -m wan_backend.protocol.describe > docs/protocol.md

The docstrings under attributes are not there at run time, so they are read from the source.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import typing
from collections.abc import Iterator
from enum import Enum, EnumType
from types import ModuleType
from typing import Any

from . import (
    choices,
    cut,
    downloads,
    errors,
    framing,
    looks,
    media,
    messages,
    methods,
    name_runs,
    takes,
    training,
    transfer,
    work,
    workers,
)
from .conversion import CODEC, Codec
from .methods import Method
from .sentences import Sentence

MODULES = (choices, name_runs, takes, training, messages, workers, work, looks, downloads, cut, transfer)
"""The modules of the messages, in the order in which they are described."""
HOPS = [
    ("Client to server", methods.SERVER_METHODS, "The client calls these; the server answers each."),
    ("Server to client: events", methods.SERVER_EVENTS, "Notifications; they come between the answers."),
    ("Server to worker", methods.WORKER_METHODS, "The server calls these; the worker answers each."),
    ("Worker to server: events", methods.WORKER_EVENTS, "Notifications."),
    (
        "Fetch to server: events",
        methods.FETCH_EVENTS,
        "Lines on the stdout of `python -m wan_backend.downloads`.",
    ),
    ("Set-up to add-on: events", methods.SETUP_EVENTS, "Lines on the stdout of `python -m wan_backend.environment`."),
    ("Test to add-on: events", methods.TEST_EVENTS, "Lines on the stdout of `python -m wan_backend.relay --test`."),
]

INTRODUCTION = f"""\
# The protocol

Written from the message definitions in `wan_backend/protocol` by `python -m wan_backend.protocol.describe`;
do not edit it by hand.

Blender's add-on (the client) starts the server and speaks to it on its stdin and stdout; the server starts a worker
and speaks to it in the same way. On both hops: [JSON-RPC 2.0](https://www.jsonrpc.org/specification), one message a
line, UTF-8, without batches, version {messages.PROTOCOL_VERSION}. A line of more than
{framing.MAX_LINE_BYTES:,} bytes is skipped and answered with an error.

Unknown keys in a message are passed over, so that a newer peer may send more; a missing key or a value of the wrong
type is an error that names it. Numbers are finite. Any Unicode may be in a string, lone surrogates too.

The client's first call is `hello`; until it is answered, every other but `ping` is an error. Everything ends when
stdin ends. To try it by hand, start a server with a state folder of its own (`python` is the backend's, as the README
says), and type:

```
python -m wan_backend serve --state FOLDER
{{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {{"protocol": {messages.PROTOCOL_VERSION}}}}}
{{"jsonrpc": "2.0", "id": 2, "method": "list"}}
```

A sentence for a person is a string, or, where values stand in it, an object that a translation can be made of: the
template is looked up, then the values, which are strings or such objects themselves, take the places of their names.
The values of names that the template hasn't are passed over, and a name without a value stays as it is. An error's
`message` is in English; if it has values, the sentence is in its `data`.

```
{{"template": "The file {{file}} is missing; put it back.", "values": {{"file": "/footage/0001.png"}}}}
```

In the tables below, `T or null` may be null; a key with a default may be left out.
"""


def document() -> str:
    """The whole of docs/protocol.md."""
    sections = [INTRODUCTION]
    for title, table, sentence in HOPS:
        sections.append(f"## {title}\n\n{sentence}\n\n{_method_table(table)}")
    sections.append("## Messages\n")
    sections += [_message(kind) for module in MODULES for kind in _kinds(module)]
    sections.append("## Errors\n\n| code | name | meaning |\n|---|---|---|")
    codes = {value: name for name, value in vars(errors).items() if type(value) is int}
    sections.append(
        "\n".join(f"| {code} | `{codes[code]}` | {text} |" for code, text in errors.MEANINGS.items()) + "\n"
    )
    sections.append(f"## A take on the disk\n\n```\n{inspect.cleandoc(media.__doc__ or '')}\n```\n")
    return "\n".join(sections)


def main() -> int:
    """Write the document to stdout."""
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(document())
    return 0


def _method_table(table: dict[str, Method]) -> str:
    rows = ["| method | params | result | |", "|---|---|---|---|"]
    for method in table.values():
        result = "none" if method.result is None else _link(method.result)
        rows.append(f"| `{method.name}` | {_link(method.params)} | {result} | {method.purpose} |")
    return "\n".join(rows) + "\n"


def _kinds(module: ModuleType) -> list[type]:
    """The messages in the order in which they are defined."""
    return [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]


def _message(kind: type) -> str:
    docstring = inspect.cleandoc(kind.__doc__ or "")
    text = f"### {kind.__name__}\n\n{docstring}\n"
    if isinstance(kind, EnumType):
        values = [str(member.value) for member in typing.cast(type[Enum], kind)]
        return text + "\n" + ", ".join(f"`{value}`" for value in values) + "\n"
    rows = list(_field_rows(kind))
    if rows:
        text += "\n" + "\n".join(["| key | type | default | |", "|---|---|---|---|", *rows]) + "\n"
    return text


def _field_rows(kind: type) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    docstrings = _attribute_docstrings(kind)
    for field in dataclasses.fields(kind):
        docstring = docstrings.get(field.name, "")
        codec: Codec | None = field.metadata.get(CODEC)
        kind_words = codec.words if codec else _type(hints[field.name])
        yield f"| `{field.name}` | {kind_words} | {_default(field)} | {docstring} |"


def _attribute_docstrings(kind: type) -> dict[str, str]:
    """The string under each attribute, on one line."""
    (class_node,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(class_node, ast.ClassDef)
    found = {}
    for before, node in zip(class_node.body, class_node.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[ast.unparse(before.target)] = " ".join(str(node.value.value).split())
    return found


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return "`null`" if field.default is None else f"`{_plain(field.default)}`"
    if field.default_factory is dataclasses.MISSING:
        return "required"
    made = field.default_factory()
    return f"`{made}`" if isinstance(made, list | dict) else "its defaults"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(kind: Any) -> str:
    if typing.get_origin(kind) is list:
        return f"list of {_type(typing.get_args(kind)[0])}"
    members = typing.get_args(kind)
    if members:
        return " or ".join("null" if member is type(None) else _type(member) for member in members)
    return _link(kind)


def _link(kind: type) -> str:
    if kind.__module__ in [module.__name__ for module in MODULES]:
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return {Sentence: "sentence", str: "string", int: "integer", float: "number", bool: "true or false"}[kind]


if __name__ == "__main__":
    sys.exit(main())
