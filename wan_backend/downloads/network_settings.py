"""Proxies and certificates that the environment sets, checked before the hub is asked and told without passwords."""

from __future__ import annotations

import os
import re
import urllib.request

from ..protocol.sentences import NO_SENTENCE, Sentence

PROXY_KINDS = ("https", "http", "all")
OTHER_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that tell other programs of a company's certificates; used if SSL_CERT_FILE is not set."""
_PROXY = re.compile(r"(http|https|socks5|socks5h)://([^/?#@\s]*@)?(\[[0-9a-fA-F:.]+\]|[^:/?#@\[\]\s]+)(:\d{1,5})?/?")


def apply_network_settings() -> Sentence:
    """Set SSL_CERT_FILE if another variable names the certificates. Returns what is wrong, a sentence; else "".

    The HTTP library's own words for a wrong proxy are of no help to a person, and have the password in them.
    """
    for kind in PROXY_KINDS:
        found = _find_proxy(kind)
        if found and not _PROXY.fullmatch(found[1] if "://" in found[1] else f"http://{found[1]}"):
            return Sentence(
                "The proxy that is set ({found}) is not an address that can be used: it looks like "
                "http://host:3128 or socks5://host:1080; if it wants a login, with name:password@ before "
                "the host, where # / ? @ are written as %23 %2F %3F %40. Fix or unset it, and start "
                "Blender again.",
                found=found[0],
            )
    given = next((name for name in ("SSL_CERT_FILE", *OTHER_CERTIFICATE_VARIABLES) if os.environ.get(name)), "")
    if given and os.path.isfile(os.environ[given]):
        os.environ["SSL_CERT_FILE"] = os.environ[given]
    elif given == "SSL_CERT_FILE":
        file = os.environ[given]
        return Sentence(
            "SSL_CERT_FILE is set to {file}, which is no file; fix or unset it, and start Blender again.", file=file
        )
    return NO_SENTENCE


def proxy_in_words(url: str) -> Sentence:
    """The proxy that `url` is asked through, such as "ALL_PROXY: socks5://host:1080", without a password; else ""."""
    for kind in ("http" if url.startswith("http:") else "https", "all"):
        found = _find_proxy(kind)
        if found:
            scheme, mark, rest = found[1].rpartition("://")
            address = f"{scheme or 'http'}{mark or '://'}{rest.rpartition('@')[2]}"
            return Sentence("{variable}: {address}", variable=found[0], address=address)
    return NO_SENTENCE


def _find_proxy(kind: str) -> tuple[str, str] | None:
    """The variable that sets the proxy, or that the system does, and its address."""
    found = urllib.request.getproxies().get(kind)
    names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    return (next((name for name in names if os.environ.get(name)), Sentence("the system's")), found) if found else None
