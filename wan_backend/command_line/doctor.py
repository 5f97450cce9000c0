"""Runs `doctor`: what is here, what is missing, how to fix it. Exit code 0 if nothing is wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..library.transformer_answers import TransformerAnswers
from ..protocol.conversion import to_json
from ..protocol.media import TRANSFORMERS_FILE
from ..protocol.messages import Finding
from ..protocol.sentences import in_english
from ..server import diagnosis
from ..server.planner import Planner
from ..server.serve import cluster_of


def main(options: argparse.Namespace) -> int:
    """Examine the backend and print the findings; the exit code is 1 if one is wrong."""
    folders = [os.path.abspath(folder) for folder in options.models_folder]
    remembered = options.state / TRANSFORMERS_FILE if options.state else None
    planner = Planner(folders, None, answers=TransformerAnswers(remembered, dict(options.transformer)))
    survey = planner.library.refresh()
    findings = diagnosis.examine(
        *(options.state, planner.rows(), None, folders),
        survey=survey,
        cluster=cluster_of(options),
        findings_folder=options.findings,
    )
    sys.stdout.write(json.dumps(in_english(to_json(findings)), indent=1) + "\n" if options.json else lines(findings))
    return 0 if all(finding.good or finding.not_downloaded for finding in findings) else 1


def lines(findings: list[Finding]) -> str:
    """The findings for a terminal: what is wrong first, what is only not here last."""
    text = ""
    for finding in sorted(findings, key=lambda finding: (finding.not_downloaded, finding.good)):
        word = "not downloaded," if finding.not_downloaded else "good " if finding.good else "WRONG"
        text += f"{word} {finding.topic}: {finding.sentence}\n"
        if finding.mend:
            text += f"      {finding.mend}\n"
    return text
