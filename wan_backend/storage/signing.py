"""Signs movies with a person's certificate, as Content Credentials (C2PA): who made them, and that it was an AI.

Two variables name the person's files: WAN_VSE_CERTIFICATE a chain of certificates, WAN_VSE_PRIVATE_KEY the key of its
first one, both as PEM. The key is read when something is signed, and is never written, copied or sent anywhere. What
signs is c2pa-python, which is installed for those who want it alone (wan_backend/environment/lock_signing.txt). No
server is asked for the time of day, so that nothing leaves the machine.

Source: C2PA specification 2.1, "Actions", "Digital signatures", "Embedding manifests".
"""

from __future__ import annotations

import io
import json
import logging
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..protocol.media import CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE
from ..protocol.sentences import Sentence
from .disk_errors import reason

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""A chain of certificates, or a key, is a few thousand bytes."""
ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "ED25519")
"""Those of keys that C2PA takes: elliptic curves of three sizes, RSA, Ed25519."""
SUFFIX = ".signed"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
NO_LIBRARY = Sentence(
    "Movies aren't signed, as c2pa-python isn't installed in the backend's environment: install it (docs/marks.md)."
)
WORDS = {
    "not valid at time of signing": Sentence("the certificate {certificate} has expired, or isn't valid yet: renew it"),
    "self-signed": Sentence(
        "the certificate {certificate} is signed by itself: use one that an authority signed, with the authority's own "
        "certificate behind it in the file"
    ),
    "does not match": Sentence("the private key {key} isn't that of the certificate {certificate}: choose its own"),
    "certificate is invalid": Sentence(
        "the certificate {certificate} can't sign Content Credentials: it has to be for signing e-mail or documents"
    ),
}
"""What c2pa-python says, and what it means."""
WRONG_KEY = Sentence(
    "the private key {key} is of a kind that C2PA doesn't take, or no PKCS#8 file: use one that begins with "
    "'BEGIN PRIVATE KEY', of an elliptic curve, RSA or Ed25519"
)


class CantSign(Exception):
    """Nothing can be signed; `sentence` says why, and what to do."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Claim:
    """What is said of a movie."""

    title: str
    digital_source_type: str
    """The address of IPTC's term."""
    model: str
    program: str
    version: str

    def manifest(self) -> str:
        """As c2pa-python takes it. Prompts and paths aren't in it."""
        action = {
            "action": "c2pa.created",
            "digitalSourceType": self.digital_source_type,
            "softwareAgent": {"name": self.model},
        }
        return json.dumps(
            {
                "title": self.title,
                "claim_generator_info": [{"name": self.program, "version": self.version}],
                "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
            }
        )


@dataclass(frozen=True)
class Signatory:
    """The files of a person who signs."""

    certificate: Path
    key: Path

    @classmethod
    def named(cls, around: Mapping[str, str] | None = None) -> Signatory | None:
        """The one that the variables name; None if they name none. Raises CantSign if only one of them is set."""
        names = os.environ if around is None else around
        certificate, key = names.get(CERTIFICATE_VARIABLE, "").strip(), names.get(PRIVATE_KEY_VARIABLE, "").strip()
        if not certificate and not key:
            return None
        if not certificate or not key:
            missing = Sentence("a certificate") if not certificate else Sentence("its private key")
            raise CantSign(Sentence("Movies aren't signed, as {missing} isn't chosen.", missing=missing))
        return cls(Path(certificate), Path(key))

    def check(self) -> None:
        """See that something can be signed, on a picture in memory. Raises CantSign."""
        claim = Claim("a try", SOURCE_TYPES + "trainedAlgorithmicMedia", "none", "Wan VSE", "0")

        def try_it(c2pa: Any, signer: Any) -> None:
            c2pa.Builder(claim.manifest()).sign(signer, "image/png", io.BytesIO(_small_png()), io.BytesIO())

        self._sign(try_it)

    def sign(self, movie: Path, claim: Claim) -> None:
        """Replace an MP4 file by a signed one. Raises CantSign; the file is then as it was."""
        signed = movie.with_name(movie.stem + SUFFIX + movie.suffix)

        def write(c2pa: Any, signer: Any) -> None:
            signed.unlink(missing_ok=True)
            c2pa.Builder(claim.manifest()).sign_file(str(movie), str(signed), signer)

        try:
            self._sign(write)
            with open(signed, "rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(signed, movie)
        except OSError as error:
            raise CantSign(
                Sentence("The movie isn't signed, as it can't be written ({reason}).", reason=reason(error))
            ) from error
        finally:
            signed.unlink(missing_ok=True)

    def _sign(self, do: Callable[[Any, Any], None]) -> None:
        """Call `do(c2pa, signer)` with the key's algorithm, which is found by trying. Raises CantSign."""
        chain = _read(self.certificate, Sentence("certificate"))
        key = _read(self.key, Sentence("private key"))
        if b"BEGIN CERTIFICATE" not in chain:
            words = Sentence("{file} holds no certificate as PEM: choose another", file=self.certificate)
            raise CantSign(_because(words))
        if b"ENCRYPTED" in key:
            raise CantSign(
                _because(
                    Sentence(
                        "the private key {key} has a passphrase, which nobody is there to type: choose a file without "
                        "one that only you can read",
                        key=self.key,
                    )
                )
            )
        try:
            import c2pa
        except (ImportError, OSError, RuntimeError) as error:
            log.info("c2pa-python can't be used: %s", error)
            raise CantSign(NO_LIBRARY) from None
        for name in ALGORITHMS:
            try:
                algorithm = getattr(c2pa.C2paSigningAlg, name)
                do(c2pa, c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None)))
                return
            except c2pa.C2paError as error:
                said = str(error)
            if "private key" not in said:  # the algorithm was right
                raise CantSign(self._meaning(said))
        raise CantSign(_because(WRONG_KEY.with_values(key=self.key)))

    def _meaning(self, said: str) -> Sentence:
        for part, sentence in WORDS.items():
            if part in said:
                return _because(sentence.with_values(certificate=self.certificate, key=self.key))
        log.warning("c2pa-python says: %s", said)
        return _because(Sentence("c2pa-python says: {words}", words=said[:200]))


def _because(why: Sentence) -> Sentence:
    return Sentence("Movies aren't signed: {why}.", why=why)


def _read(file: Path, what: Sentence) -> bytes:
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise CantSign(_because(Sentence("the {what} {file} is no file: choose another", what=what, file=file)))
        with open(file, "rb") as stream:
            return stream.read(MOST_BYTES)
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else Sentence("this is no file's name")
        raise CantSign(
            _because(Sentence("the {what} {file} can't be read ({reason})", what=what, file=file, reason=why))
        ) from None


def _small_png() -> bytes:
    """A PNG file of one gray pixel."""
    head, row = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), zlib.compress(b"\0\x80")
    parts = ((b"IHDR", head), (b"IDAT", row), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
