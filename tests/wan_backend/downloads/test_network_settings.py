"""Proxies and certificates of the environment: named without passwords, and refused where they make no sense."""

from __future__ import annotations

import os

import pytest

from wan_backend.downloads import network_settings


@pytest.fixture
def reach(monkeypatch):
    """No proxies and certificates but those that a test sets."""
    for kind in (*network_settings.PROXY_KINDS, "no"):
        for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
            monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", *network_settings.OTHER_CERTIFICATE_VARIABLES):
        monkeypatch.setenv(name, "")  # put back after each test
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("address", [
    "http://me:secret@127.0.0.1:9", "me:secret@127.0.0.1:9", "socks5://me:secret@127.0.0.1:9", "https://me:secret@a.b",
    "socks5h://me:secret@[::1]:9/",
])  # fmt: skip
def test_proxies_that_are_some_are_named_without_their_password(reach, address):
    reach.setenv("HTTPS_PROXY", address)
    assert network_settings.apply_network_settings() == ""
    words = network_settings.proxy_in_words("https://huggingface.co")
    assert words.startswith("HTTPS_PROXY: ") and "://" in words and "secret" not in words
    assert network_settings.proxy_in_words("http://mirror") == ""


@pytest.mark.parametrize("address", [
    "gopher://me:secret@127.0.0.1:9", "socks4://me:secret@127.0.0.1:9", "http://me:se#cret@127.0.0.1:9",
    "http://me:se/cret@127.0.0.1:9", "http://me:secret@127.0.0.1:port", " http://me:secret@127.0.0.1:9",
    "http://me:secret@[::1", "http://me:secret@", "http://me:s@cret@127.0.0.1:9",
])  # fmt: skip
@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_proxies_that_are_none_are_told_before_anything_is_asked(reach, name, address):
    reach.setenv(name, address)
    sentence = network_settings.apply_network_settings()
    assert f"({name})" in sentence and not any(word in sentence for word in ("cret", "me:s"))


def test_a_companys_certificates_are_those_that_other_programs_have(reach, tmp_path):
    (tmp_path / "company.pem").write_text("of theirs")
    reach.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "company.pem"))
    assert network_settings.apply_network_settings() == ""
    assert os.environ["SSL_CERT_FILE"] == str(tmp_path / "company.pem")
    reach.setenv("SSL_CERT_FILE", "/no/such.pem")
    sentence = network_settings.apply_network_settings()
    assert sentence.startswith("SSL_CERT_FILE is set to /no/such.pem, which is no file")
