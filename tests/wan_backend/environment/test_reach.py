"""How the network is reached: of a person's settings that, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wan_backend.environment import create, reach


def found(settings: str = "", isolated: bool = True, **around: str) -> reach.Reach:
    return reach.find(create.reach_of(settings, hashed=True), isolated, around)


def test_an_artists_variables_of_uv_and_pip_change_nothing_but_the_way() -> None:
    way = found(
        UV_TARGET="/elsewhere", UV_PYTHON_DOWNLOADS_JSON_URL="http://evil", PIP_TARGET="/x", PYTHONPATH="/blender",
        UV_DEFAULT_INDEX="https://mirror.example/simple", VIRTUAL_ENV="/venv", PATH="/bin",
    )  # fmt: skip
    assert way.index == "https://mirror.example/simple" and way.has_places
    assert way.variables["UV_NO_CONFIG"] == "1" and way.variables["PATH"] == "/bin"
    assert not {"UV_TARGET", "UV_PYTHON_DOWNLOADS_JSON_URL", "PIP_TARGET", "PYTHONPATH", "VIRTUAL_ENV"} & {
        *way.variables
    }
    assert found(isolated=False, UV_TARGET="/x").variables["UV_TARGET"] == "/x"


def test_what_pip_knows_of_places_is_given_to_uv() -> None:
    way = found(
        "global.index-url='https://a/simple'\nglobal.extra-index-url='https://b/simple\\nhttps://c/simple'\n"
        "global.find-links='/wheels'\nglobal.no-index='true'\n:env:.default-timeout='99'\nglobal.target='/x'"
    )
    assert (way.index, way.no_index) == ("https://a/simple", True)
    assert way.variables["UV_INDEX"] == "https://b/simple https://c/simple"
    assert (way.variables["UV_FIND_LINKS"], way.variables["UV_HTTP_TIMEOUT"]) == ("/wheels", "99")


@pytest.mark.parametrize("name", reach.CERTIFICATES)
def test_a_companys_certificates_are_taken_however_they_are_named(name: str) -> None:
    assert found(**{name: "/etc/company.pem"}).certificates == "/etc/company.pem"
    assert found("global.cert='/of/pip.pem'").certificates == "/of/pip.pem"
    assert found("global.cert='/of/pip.pem'", SSL_CERT_FILE="/own.pem").certificates == "/own.pem"


def test_the_proxy_is_the_variables_or_pips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach.urllib.request, "getproxies", dict)
    page = "https://pypi.org/simple/uv/"
    assert reach.proxy_of(found(), page) == ""
    assert reach.proxy_of(found("global.proxy='proxy:3128'"), page) == "http://proxy:3128"
    assert reach.proxy_of(found("global.proxy='proxy:3128'", https_proxy="socks5://s:1"), page) == "socks5://s:1"
    assert reach.proxy_of(found(ALL_PROXY="socks5h://me:secret@s:1"), page) == "socks5h://me:secret@s:1"
    assert reach.proxy_of(found(ALL_PROXY="http://p:1", NO_PROXY="pypi.org"), page) == ""
    assert reach.without_password("socks5h://me:se@cret@s:1") == "socks5h://s:1"


def test_a_proxy_of_the_system_is_given_to_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach.urllib.request, "getproxies", lambda: {"https": "http://system:8080"})
    assert found().variables["HTTPS_PROXY"] == "http://system:8080"
    assert "HTTPS_PROXY" not in found(all_proxy="http://own:1").variables


def test_pips_files_are_read_as_pip_does(tmp_path: Path) -> None:
    own, named = tmp_path / ".pip" / "pip.conf", tmp_path / "named.conf"
    own.parent.mkdir()
    own.write_text("[global]\nindex-url = https://own/simple\n")
    named.write_text("[global]\nproxy = http://proxy:1\n[install]\ntarget = /x\n")
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("half [")
    around = {"HOME": str(tmp_path), "PIP_TIMEOUT": "7", "XDG_CONFIG_DIRS": str(tmp_path)}
    assert "global.index-url='https://own/simple'" in reach.pip_settings(around)
    assert ":env:.timeout='7'" in reach.pip_settings(around)
    instead = reach.pip_settings({**around, "PIP_CONFIG_FILE": str(named)})
    assert "global.proxy='http://proxy:1'" in instead and "own" not in instead
    assert reach.pip_settings({"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}) == ""


def test_a_person_without_a_home_has_files_of_pip_all_the_same(monkeypatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    assert reach._files_of_pip({})
