"""Signs a take's movie with the certificate that a person has chosen, if one has."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from .. import __version__
from ..frames.marks import PROGRAM, Marks
from ..protocol.media import first_file
from ..protocol.messages import MediaFormat, TakeRequest
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import signing

log = logging.getLogger(__name__)

ONLY_MP4 = Sentence("The take isn't signed: of the formats, only H.264 movies can be (More, File Format).")


def sign(request: TakeRequest, marks: Marks, folder: Path) -> tuple[Marks, Sentence]:
    """The marks of the take in `folder` once its movie is signed; and if that can't be done, a note that says so."""
    try:
        signatory = signing.Signatory.named()
        if signatory is None:
            return marks, NO_SENTENCE
        if request.media_format is not MediaFormat.H264:
            raise signing.CantSign(ONLY_MP4)
        title = first_file(request.media_format)
        claim = signing.Claim(title, marks.digital_source_type, marks.model, PROGRAM, __version__)
        signatory.sign(folder / title, claim)
    except signing.CantSign as error:
        log.warning("the take isn't signed: %s", error.sentence)
        return marks, error.sentence
    return replace(marks, signed=True), NO_SENTENCE
