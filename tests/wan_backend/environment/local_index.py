"""A package index of small wheels on this machine, for the tests of the environment."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from wan_backend.environment import reach


class Server:
    """Serves the files of a folder on this machine, with ranges; keeps what was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        """Path and Range."""
        self.stop_after = 0
        """Bytes after which an answer breaks off, once; 0: never."""
        ours = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments, directory=str(folder))

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                ours.asked.append((self.path, self.headers.get("Range", "")))
                file = Path(self.translate_path(self.path))
                if not file.is_file():
                    super().do_GET()
                    return
                content, start = file.read_bytes(), int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                upto = ours.stop_after or len(content)
                ours.stop_after = 0
                self.wfile.write(content[start:upto])

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


def reach_to(index: str, **variables: str) -> reach.Reach:
    """A way to `index` alone, without patience."""
    return reach.Reach({**reach.find({}).variables, "UV_HTTP_RETRIES": "0", **variables}, index)


def wheel(folder: Path, name: str, content: str = "here = True\n") -> Path:
    """A small pure wheel."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    facts = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(f"{name}.py", content)
        package.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        package.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr(f"{facts}/RECORD", "")
    return path


def checksum(file: Path) -> str:
    """Its SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def index_of(folder: Path, project: str, *files: Path) -> None:
    """A page of a package index, as PEP 503 has it, with the files beside it."""
    page = folder / project / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    links = [f'<a href="../{file.name}#sha256={checksum(file)}">{file.name}</a>' for file in files]
    page.write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")
