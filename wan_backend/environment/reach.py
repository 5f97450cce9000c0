"""How a person reaches the network and the packages, in the terms of uv and of Python's own library.

Taken from variables, from the system's settings, and from pip's files, which is where many companies say it. Of pip's
settings only what can't change what is installed is taken: proxies, certificates, and, if every file is compared
with a checksum, the places of packages. uv's own files of settings are not read at all.
"""

from __future__ import annotations

import configparser
import os
import re
import ssl
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PYPI = "https://pypi.org/simple"
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
"""What a company's certificates are named by, the first that is set counts."""
SYSTEMS_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)  # fmt: skip
"""Where systems keep theirs: Blender's Python was built elsewhere and may look in another place."""
KEPT_OF_UV = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES",
    "UV_PYTHON_INSTALL_MIRROR",
)  # fmt: skip
"""Variables that say where things are fetched; what comes from there is compared with checksums all the same."""
TRIES = "5"
SECONDS = "60"
"""How long uv waits for an answer; a slow line isn't a broken one."""
AT_ONCE = "3"
"""How many files are fetched at a time: a stop loses what is half here of each."""


@dataclass(frozen=True)
class Reach:
    """How the network is reached."""

    variables: Mapping[str, str]
    """For uv, in place of this process's own; passwords are in them alone, never in a command."""
    index: str = PYPI
    """Of packages, by PEP 503."""
    no_index: bool = False

    @property
    def has_places(self) -> bool:
        """True if a person says where packages lie, so that PyTorch's own index may be out of reach."""
        return self.no_index or any(self.variables.get(name) for name in KEPT_OF_UV[:3])

    @property
    def certificates(self) -> str:
        """A file of certificates; empty: the system's."""
        return self.variables.get("SSL_CERT_FILE", "")


def find(settings: Mapping[str, str], isolated: bool = True, around: Mapping[str, str] | None = None) -> Reach:
    """The way to the network; `settings` are pip's, by their variables' names (PIP_INDEX_URL), as `pip_settings` has.

    `isolated`: a person's variables of uv change nothing but where things are fetched.
    """
    around = os.environ if around is None else around
    kept = {name: value for name, value in around.items() if _is_kept(name, isolated)}
    given = {**around, **settings}
    file = next((given[name] for name in CERTIFICATES if given.get(name)), "")
    if file:
        kept["SSL_CERT_FILE"] = file
    kept.update(_proxies(kept, settings.get("PIP_PROXY", "")))
    for ours, theirs, joint in (
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL", " "),
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL", " "),
        ("UV_FIND_LINKS", "PIP_FIND_LINKS", ","),
        ("UV_INSECURE_HOST", "PIP_TRUSTED_HOST", " "),
        ("UV_HTTP_TIMEOUT", "PIP_TIMEOUT", " "),
        ("UV_HTTP_RETRIES", "PIP_RETRIES", " "),
    ):
        if settings.get(theirs):
            kept.setdefault(ours, joint.join(settings[theirs].split()))
    kept.setdefault("UV_HTTP_TIMEOUT", SECONDS)
    kept.setdefault("UV_HTTP_RETRIES", TRIES)
    kept.setdefault("UV_CONCURRENT_DOWNLOADS", AT_ONCE)
    if isolated:
        kept["UV_NO_CONFIG"] = "1"
    no_index = settings.get("PIP_NO_INDEX", "").lower() in ("1", "true", "yes", "on")
    return Reach(kept, kept.get("UV_DEFAULT_INDEX", PYPI), no_index)


def _is_kept(name: str, isolated: bool) -> bool:
    upper = name.upper()
    if upper in ("PYTHONHOME", "PYTHONPATH", "OCIO", "VIRTUAL_ENV", "CONDA_PREFIX") or upper.startswith("PIP_"):
        return False
    return not (isolated and upper.startswith("UV_")) or upper in KEPT_OF_UV


def _proxies(around: Mapping[str, str], of_pip: str) -> dict[str, str]:
    """Proxies as variables: those of the system, if no variable says one, and that of pip's settings at last."""
    has = {name.lower() for name, value in around.items() if value}
    found = {}
    for kind, address in urllib.request.getproxies().items():
        if kind in ("http", "https") and f"{kind}_proxy" not in has and "all_proxy" not in has:
            found[f"{kind.upper()}_PROXY"] = address
    if of_pip and not found and not has & {"http_proxy", "https_proxy", "all_proxy"}:
        found["ALL_PROXY"] = of_pip if "://" in of_pip else f"http://{of_pip}"
    return found


def proxy_of(reach: Reach, url: str) -> str:
    """The proxy that `url` is fetched through, as "socks5://host:1080"; empty: none."""
    host = urllib.request.Request(url).host or ""
    variables = {name.lower(): value for name, value in reach.variables.items() if value}
    if urllib.request.proxy_bypass_environment(host, {"no": variables.get("no_proxy", "")}):  # type: ignore[attr-defined]
        return ""
    found = variables.get(f"{url.partition(':')[0]}_proxy") or variables.get("all_proxy", "")
    return found if "://" in found or not found else f"http://{found}"


def without_password(proxy: str) -> str:
    """A proxy as it may be shown; empty if there is none."""
    if not proxy:
        return ""
    scheme, _, rest = proxy.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def tls(reach: Reach) -> ssl.SSLContext:
    """The certificates to trust: those of the file that was named, or the system.

    Raises OSError if it can't be read.
    """
    if reach.certificates:
        return ssl.create_default_context(cafile=reach.certificates)
    context = ssl.create_default_context()
    if sys.platform != "win32":
        for name in SYSTEMS_CERTIFICATES:
            if os.path.isfile(name):
                context.load_verify_locations(name)
                break
    return context


def pip_settings(around: Mapping[str, str] | None = None) -> str:
    """What a person set for pip, as `pip config list` says it, without asking a pip: "global.proxy='...'" a line."""
    around = os.environ if around is None else around
    lines = []
    for file in _files_of_pip(around):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, "utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                lines += [f"{section}.{_plain(key)}={value!r}" for key, value in parser.items(section)]
    for name, value in around.items():
        if re.fullmatch(r"PIP_\w+", name) and name != "PIP_CONFIG_FILE" and value:
            lines.append(f":env:.{_plain(name.removeprefix('PIP_'))}={value!r}")
    return "\n".join(lines)


def _plain(key: str) -> str:
    return key.lower().replace("_", "-")


def _files_of_pip(around: Mapping[str, str]) -> list[Path]:
    """In pip's order, the last counts most: the system's, and the person's, or in its place the one that was named."""
    named = around.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(around.get("HOME") or os.path.expanduser("~"))  # which stays so where the person has no home
    if sys.platform == "win32":
        shared = [Path(around.get("PROGRAMDATA", "C:/ProgramData"), "pip", "pip.ini")]
        own = [home / "pip" / "pip.ini", Path(around.get("APPDATA") or home / "AppData/Roaming", "pip", "pip.ini")]
    else:
        shared = [Path(folder, "pip", "pip.conf") for folder in around.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
        own = [home / ".pip" / "pip.conf", Path(around.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")]
        if sys.platform == "darwin":
            shared.append(Path("/Library/Application Support/pip/pip.conf"))
            own.append(home / "Library" / "Application Support" / "pip" / "pip.conf")
        shared.append(Path("/etc/pip.conf"))
    return [*shared, Path(named)] if named and Path(named).exists() else [*shared, *own]
