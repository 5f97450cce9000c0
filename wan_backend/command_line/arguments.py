"""Defines the verbs and their flags; a verb's module is imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from .. import __version__
from ..protocol.messages import MatrixPrecision, Quality, StepCache
from ..server.serve import (
    add_arguments,
    add_cluster_arguments,
    add_findings_argument,
    add_machine_arguments,
    add_models_arguments,
    add_start_arguments,
    add_state_argument,
    folder,
    own_state_folder,
)

VERBS = {
    "serve": "wan_backend.server.serve",
    "generate": "wan_backend.command_line.generate",
    "train": "wan_backend.command_line.train",
    "calibrate": "wan_backend.command_line.calibrate",
    "models": "wan_backend.command_line.models",
    "doctor": "wan_backend.command_line.doctor",
    "web": "wan_backend.web.command",
}


def run(arguments: list[str]) -> int:
    """Do what the command line says; the exit code."""
    if arguments[:1] == ["bench"]:  # has flags of its own, and needs torch
        return int(importlib.import_module("wan_backend.bench").main(arguments[1:]))
    options = parser().parse_args(arguments)
    return int(importlib.import_module(VERBS[options.verb]).main(options))


def parser() -> argparse.ArgumentParser:
    """All verbs but `bench`."""
    made = argparse.ArgumentParser(prog="wan_backend", description="Runs the open Wan video models.")
    made.add_argument("--version", action="version", version=__version__)
    verbs = made.add_subparsers(dest="verb", required=True)
    add_arguments(verbs.add_parser("serve", help="serve a client on stdin and stdout, as Blender does"))
    _add_generate(verbs.add_parser("generate", help="make a video from a prompt"))
    _add_train(verbs.add_parser("train", help="train a LoRA on clips"))
    _add_calibrate(
        verbs.add_parser(
            "calibrate",
            help="measure what the step cache needs to know of a model; with --cards-per-take instead, which way of "
            "sharing its takes is the quickest on these cards",
        )
    )
    _add_models(verbs.add_parser("models", help="list the models, or download one"))
    _add_web(verbs.add_parser("web", help="serve a page for a browser, whose takes stand in the same queue"))
    _add_doctor(verbs.add_parser("doctor", help="report what is installed, what is missing and how to fix it"))
    verbs.add_parser("bench", help="measure speed and memory (bench --help)", add_help=False)
    return made


def _add_generate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("prompt", nargs="?", default="", help="what the take shows, in a sentence")
    verb.add_argument(
        "--job",
        type=Path,
        metavar="FILE",
        help="make the take of a request as JSON instead, as take.json has it: for render farms (docs/farms.md)",
    )
    verb.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="file.mp4 (H.264), file.mkv (FFV1, lossless) or a folder (PNG); with --job, the take's folder",
    )
    _add_request(verb)
    verb.add_argument("--overwrite", action="store_true", help="replace an existing file")
    _add_child(verb)


def _add_request(verb: argparse.ArgumentParser) -> None:
    """The flags of a request, which nothing is the default of: `--job` takes none of them beside it."""
    verb.add_argument("--model", help="an id that `models` lists (embedded)")
    verb.add_argument(
        "--frames",
        type=int,
        help="frames at the model's own rate; by default, as many as it makes in one go (embedded: 33)",
    )
    verb.add_argument("--size", help="as 832x480, or a size of the model by name")
    verb.add_argument("--seed", type=int, help="another seed makes another take (1)")
    verb.add_argument("--negative", help="what to avoid")
    verb.add_argument(
        "--words",
        action="append",
        default=[],
        metavar="FIRST-LAST:TEXT",
        help="what the take shows in those of its frames, counted from 0, besides the prompt, which may be empty then; "
        "may be given several times",
    )
    verb.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="FRAME:PICTURE",
        help="a picture that the take keeps as that frame, counted from 0; may be given several times (VACE models)",
    )
    verb.add_argument(
        "--edit",
        type=Path,
        metavar="MOVIE",
        help="change in this movie what the prompt says, at its rate and in its shape (Bernini-R)",
    )
    verb.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="PICTURE",
        help="with --edit: a picture of what the edit is to show; may be given up to four times",
    )
    verb.add_argument("--steps", type=int)
    verb.add_argument("--guidance", type=float)
    verb.add_argument(
        "--guidance-interval",
        metavar="START-END",
        help="compute guidance in that part of the steps only, as 0-0.5 for the first half: fewer passes, other detail",
    )
    verb.add_argument(
        "--step-cache",
        choices=[each.value for each in StepCache],
        help="on: reuse in some steps what earlier ones computed, by what was measured of the model; calibrate: "
        "measure that, with all steps computed (off)",
    )
    verb.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[=STRENGTH][,EXPERT]",
        help="EXPERT is high, low or both, of a model with two experts; may be given several times",
    )
    verb.add_argument("--quality", choices=[quality.value for quality in Quality], help="how many steps (standard)")
    verb.add_argument(
        "--matrices",
        choices=[precision.value for precision in MatrixPrecision],
        help="fast_8_bit: multiply matrices in 8 bit if the card is faster that way (exact)",
    )


def _add_child(verb: argparse.ArgumentParser) -> None:
    """The flags of a verb that starts a server for its own job."""
    own = own_state_folder()
    words = "nothing is kept, as this user has no home" if own is None else "%(default)s"
    add_findings_argument(verb, "--state", own, words)
    add_machine_arguments(verb)
    verb.add_argument("--worker-command", default="", help=argparse.SUPPRESS)


def _add_train(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--request",
        type=Path,
        required=True,
        metavar="FILE",
        help="the training as JSON: a request with `training` and clips as sources (docs/training.md)",
    )
    verb.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder of LoRAs, in which it gets one"
    )
    _add_child(verb)


def _add_calibrate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("model", help="an id that `models` lists")
    add_state_argument(
        verb, "the folder in which it is kept, where those who use it look: a server's folder of queue and logs"
    )
    verb.add_argument(
        "--quality",
        action="append",
        choices=[quality.value for quality in Quality],
        help="whose steps to calibrate; may be given several times (all)",
    )
    verb.add_argument("--steps", type=int, help="another number of steps")
    verb.add_argument(
        "--frames",
        type=int,
        help="of each take, at the model's own rate (33; with --cards-per-take as many as it makes in one go)",
    )
    verb.add_argument("--size", help="as 832x480, or a size of the model by name (its usual one)")
    verb.add_argument("--prompt", default="a red car drives along a road by the sea, and gulls fly over it")
    add_machine_arguments(verb)
    verb.add_argument("--worker-command", default="", help=argparse.SUPPRESS)


def _add_models(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON")
    add_models_arguments(verb)
    verb.add_argument("--download", metavar="MODEL", help="download it from the Hugging Face hub into its cache")
    verb.add_argument("--yes", action="store_true", help="don't ask before downloading")
    verb.add_argument(
        "--accept-changes",
        action="store_true",
        help="accept files that changed on the hub",
    )


def _add_doctor(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON")
    add_models_arguments(verb)
    verb.add_argument("--state", type=folder, metavar="FOLDER", help="a server's folder of queue and logs")
    verb.add_argument(
        "--findings",
        type=folder,
        metavar="FOLDER",
        help="a server's folder of what helps later takes, if it has one of its own (the folder of the queue)",
    )
    add_cluster_arguments(verb)


def _add_web(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others than this machine's need a password"
    )
    verb.add_argument("--port", type=_port, default=7860, help="0: any that is free (%(default)s)")
    verb.add_argument(
        "--password", default="", help="what to enter on the page; also WAN_VSE_WEB_PASSWORD in the environment"
    )
    verb.add_argument(
        "--takes", type=folder, metavar="FOLDER", help="folder for the takes (web/takes in the state folder)"
    )
    verb.add_argument(
        "--lora-folder",
        type=folder,
        action="append",
        default=[],
        metavar="FOLDER",
        help="offer the LoRAs in this folder",
    )
    add_state_argument(verb, "folder of the server's queue and logs")
    add_start_arguments(verb)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port; give 0 to 65535")
    return int(text)
