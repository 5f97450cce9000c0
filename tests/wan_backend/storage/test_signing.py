"""A movie is signed with a person's certificate, as its own reader says; what can't sign is a sentence each."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from wan_backend.frames.marks import GENERATED, Marks, mark_of
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.media import CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE
from wan_backend.protocol.messages import MediaFormat
from wan_backend.storage import signing
from wan_backend.storage.signing import CantSign, Claim, Signatory

CLAIM = Claim("take.mp4", GENERATED, "wan2.1-vace-1.3b", "Wan VSE", "1.2.3")
needs_library = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("c2pa") is None, reason="c2pa-python is not installed"
)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
CONFIG = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[person]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, emailProtection
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[signs]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = anybody
[anybody]
commonName = supplied
"""
KINDS = {
    "curve": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ed25519": ["ED25519"],
    "x448": ["X448"],
}


@dataclass
class Authority:
    """An authority of the tests, in a folder of its own."""

    folder: Path

    def run(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def begin(self) -> None:
        (self.folder / "openssl.cnf").write_text(CONFIG)
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("01\n")
        self.key("authority", "curve")
        self.run(
            *("req", "-x509", "-new", "-key", "authority.key", "-subj", "/CN=Authority", "-days", "30"),
            *("-config", "openssl.cnf", "-extensions", "authority", "-out", "authority.pem"),
        )

    def key(self, name: str, kind: str) -> Path:
        algorithm, *options = KINDS[kind]
        self.run("genpkey", "-algorithm", algorithm, *options, "-out", f"{name}.key")
        return self.folder / f"{name}.key"

    def person(self, name: str, kind: str = "curve", expired: bool = False) -> Signatory:
        """Somebody with a key of that kind and a certificate of this authority."""
        key = self.key(name, kind)
        self.run("req", "-new", "-key", key.name, "-subj", f"/CN={name}", "-config", "openssl.cnf", "-out", "asked.csr")
        dates = ("20200101000000Z", "20210101000000Z") if expired else ("20250101000000Z", "20990101000000Z")
        self.run(
            *("ca", "-batch", "-notext", "-config", "openssl.cnf", "-name", "signs", "-cert", "authority.pem"),
            *("-keyfile", "authority.key", "-in", "asked.csr", "-startdate", dates[0], "-enddate", dates[1]),
            *("-extensions", "person", "-extfile", "openssl.cnf", "-out", f"{name}.pem"),
        )
        chain = self.folder / f"{name}-chain.pem"
        chain.write_text((self.folder / f"{name}.pem").read_text() + (self.folder / "authority.pem").read_text())
        return Signatory(chain, key)


@pytest.fixture
def authority(tmp_path) -> Authority:
    folder = tmp_path / "authority"
    folder.mkdir()
    made = Authority(folder)
    made.begin()
    return made


@pytest.fixture
def movie(tmp_path) -> Path:
    file = tmp_path / "take.mp4"
    with Movie(file, MediaFormat.H264, Fraction(24), 64, 48, Marks(GENERATED, "m", "Wan VSE 1.2.3")) as written:
        for index in range(5):
            written.write(np.full((48, 64, 3), 20 * index, np.uint8), [index])
    return file


def read(file: Path) -> tuple[str, dict]:
    """What c2pa-python's own reader says: the state, and the manifest."""
    import c2pa

    told = json.loads(c2pa.Reader("video/mp4", io.BytesIO(file.read_bytes())).json())
    return told["validation_state"], told["manifests"][told["active_manifest"]]


@pytest.mark.ci
@needs_library
@needs_openssl
@pytest.mark.parametrize("kind", ["curve", "rsa", "ed25519"])
def test_its_own_reader_finds_the_signature_valid_and_what_it_says(authority, movie, kind):
    person = authority.person("person", kind)
    person.check()
    person.sign(movie, CLAIM)
    state, manifest = read(movie)
    assert state == "Valid"
    (actions,) = (each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions"))
    assert actions["data"]["actions"][0]["digitalSourceType"] == GENERATED
    assert manifest["claim_generator_info"][0]["name"] == "Wan VSE"
    assert mark_of(movie) == mark_of(movie).__class__("take.mp4", GENERATED, True), "the XMP stays"
    assert os.listdir(movie.parent) == ["take.mp4"] or sorted(os.listdir(movie.parent)) == ["authority", "take.mp4"]


@pytest.mark.ci
@needs_library
@needs_openssl
def test_one_changed_byte_is_seen(authority, movie):
    authority.person("person").sign(movie, CLAIM)
    content = bytearray(movie.read_bytes())
    place = content.index(b"mdat") + 100
    content[place] ^= 1
    movie.write_bytes(content)
    assert read(movie)[0] == "Invalid"


@pytest.mark.ci
@needs_library
@needs_openssl
def test_what_can_not_sign_is_one_sentence_and_the_movie_stays_as_it_was(authority, movie):
    person, other = authority.person("person"), authority.person("other")
    old = authority.person("old", expired=True)
    authority.run("pkcs8", "-topk8", "-in", person.key.name, "-passout", "pass:x", "-out", "locked.key")
    authority.run("req", "-x509", "-new", "-key", other.key.name, "-subj", "/CN=Alone", "-config", "openssl.cnf",
                  "-extensions", "person", "-out", "alone.pem")  # fmt: skip
    folder, before = authority.folder, movie.read_bytes()
    wrong = {
        "has expired": old,
        "has a passphrase": Signatory(person.certificate, folder / "locked.key"),
        "isn't that of the certificate": Signatory(person.certificate, other.key),
        "is signed by itself": Signatory(folder / "authority.pem", folder / "authority.key"),
        "can't sign Content Credentials": Signatory(folder / "alone.pem", other.key),
        "is of a kind": Signatory(person.certificate, authority.key("odd", "x448")),
        "can't be read": Signatory(person.certificate, folder / "gone.key"),
        "holds no certificate": Signatory(person.key, person.key),
        "is no file": Signatory(folder, person.key),
    }
    for words, signatory in wrong.items():
        for attempt in (signatory.check, lambda signatory=signatory: signatory.sign(movie, CLAIM)):
            with pytest.raises(CantSign) as refused:
                attempt()
            assert words in refused.value.sentence and refused.value.sentence.endswith("."), refused.value.sentence
    assert movie.read_bytes() == before and not list(movie.parent.glob("*.signed*"))


def test_without_the_library_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    (tmp_path / "a.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "a.key").write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(CantSign, match="c2pa-python isn't installed"):
        Signatory(tmp_path / "a.pem", tmp_path / "a.key").check()


def test_who_signs_is_named_by_two_variables_or_nobody():
    assert Signatory.named({}) is None
    both = {CERTIFICATE_VARIABLE: "/a.pem", PRIVATE_KEY_VARIABLE: "/a.key"}
    assert Signatory.named(both) == Signatory(Path("/a.pem"), Path("/a.key"))
    for only, missing in ((CERTIFICATE_VARIABLE, "private key"), (PRIVATE_KEY_VARIABLE, "a certificate")):
        with pytest.raises(CantSign, match=missing):
            Signatory.named({only: "/a"})


def test_a_claim_holds_no_prompt_and_no_path():
    assert json.loads(CLAIM.manifest())["title"] == "take.mp4" and "/" not in CLAIM.manifest().replace(GENERATED, "")


def test_the_picture_that_is_tried_is_one():
    from PIL import Image

    assert Image.open(io.BytesIO(signing._small_png())).size == (1, 1)
