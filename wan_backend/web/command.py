"""Runs `wan-backend web`: the page for people without Blender, for a browser on this machine.

It listens on this machine alone unless it has a password, shares nothing, and asks nobody else for anything.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..server import log_files
from ..server.serve import flags_of
from ..storage import private_files
from ..storage.disk_errors import reason
from . import addresses
from .gate import Gate
from .server_line import ServerLine

log = logging.getLogger(__name__)

REFUSED, CANT_START = 2, 3
PASSWORD_VARIABLE = "WAN_VSE_WEB_PASSWORD"
FOLDER, TAKES, UPLOADS, GRADIO = "web", "takes", "uploads", "gradio"
LORAS = "loras"
"""A folder of that name in a models folder has LoRAs, by the custom of other programs."""
WRONG_PASSWORD_SECONDS = 1.0
TIDY_SECONDS = 600.0
LISTEN_BACKLOG = 128


def main(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; the exit code."""
    password = options.password or os.environ.get(PASSWORD_VARIABLE, "")
    if not addresses.is_loopback(options.host) and not password:
        return _exit(
            f"Others can reach {options.host}, so the page needs a password there: give one with --password, or in "
            f"{PASSWORD_VARIABLE}.",
            REFUSED,
        )
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    state = options.state.absolute()
    private_files.begin()
    try:
        gradios_own = _prepared(state / FOLDER)
        log_files.start_logging(state / "logs" / "web.log")
    except OSError as error:
        return _exit(
            f"The folder {state / FOLDER} can't be used ({reason(error)}); choose another with --state.", REFUSED
        )
    os.environ["GRADIO_TEMP_DIR"] = str(gradios_own)
    try:
        import gradio  # noqa: F401  # of the extra `web`, which a server without the page lacks
    except ImportError:
        return _exit("The page needs Gradio: run `pip install 'wan-backend[web]'`, then try again.", CANT_START)
    try:
        listener = _listener(options.host, options.port)
    except OSError as error:
        place = f"{options.host}, port {options.port}"
        return _exit(f"The page can't listen on {place} ({reason(error)}); choose another with --port.", REFUSED)
    return _serve(options, state, password, listener)


def _exit(sentence: str, code: int) -> int:
    sys.stderr.write(sentence + "\n")
    return code


def _prepared(folder: Path) -> Path:
    """Make the page's private folder; gives Gradio's own, which is empty at first. Raises OSError."""
    own = folder / GRADIO
    shutil.rmtree(own, ignore_errors=True)
    for each in (folder, own, folder / TAKES):
        private_files.make_folder(each)
    return own


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(LISTEN_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _serve(options: argparse.Namespace, state: Path, password: str, listener: socket.socket) -> int:
    import uvicorn

    from .board import Board
    from .page import Studio
    from .uploads import Uploads

    folder = state / FOLDER
    takes = options.takes.absolute() if options.takes else folder / TAKES
    line = ServerLine(state, flags_of(options))
    uploads = Uploads(folder / UPLOADS)
    board = Board(line, uploads, takes)
    loras = [*options.lora_folder, *(Path(models) / LORAS for models in options.models_folder)]
    studio = Studio(line, uploads, board, takes, loras)
    app = Gate(_app(studio, password), uploads, takes, any_host=not addresses.is_loopback(options.host))
    line.start()
    ended = threading.Event()
    threading.Thread(target=_tidy, args=[board, ended], name="tidy", daemon=True).start()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=2)
    host, port = listener.getsockname()[:2]
    sys.stdout.write(
        f"Open http://{f'[{host}]' if ':' in host else host}:{port}/ in a browser. Ctrl-C ends the page.\n"
    )
    sys.stdout.flush()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        ended.set()
        line.close()
    return 0


def _app(studio: Any, password: str) -> Any:
    """The page as an application; `share` is no word of it."""
    import fastapi
    import gradio

    from . import page

    outer = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    return gradio.mount_gradio_app(
        outer,
        page.build(studio),
        path="/",
        auth=_login(password) if password else None,
        auth_message="Enter any name, and the password." if password else None,
        allowed_paths=[str(studio.takes_folder)],
        **page.settings(),
    )


def _login(password: str) -> Callable[[str, str], Awaitable[bool]]:
    """Whether somebody may come in. After a wrong password, the next try waits its turn."""
    one_at_a_time = asyncio.Lock()

    async def check(_name: str, given: str) -> bool:
        async with one_at_a_time:
            if hmac.compare_digest(given.encode(), password.encode()):
                return True
            log.warning("A wrong password was given")
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            return False

    return check


def _tidy(board: Any, ended: threading.Event) -> None:
    """Remove what nobody uses, now and then."""
    while not ended.wait(TIDY_SECONDS):
        board.prune()
