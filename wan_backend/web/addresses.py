"""Which addresses are this machine alone."""

from __future__ import annotations

import ipaddress


def is_loopback(name: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def name_in(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and not host.endswith("]") else host
