"""Runs `generate`: makes a take of a prompt, through a server of its own.

Exit codes: 0 made, 1 failed, 2 refused as it was asked, 3 the backend did not start, 130 canceled.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Collection
from pathlib import Path

from ..catalogue import entries
from ..catalogue.entries import ModelEntry
from ..library import locate
from ..protocol import ProtocolError, Refusal
from ..protocol.messages import (
    Expert,
    FixAction,
    FixSetting,
    GuidanceInterval,
    JobParams,
    JobState,
    JobStatus,
    LoraUse,
    MatrixPrecision,
    ProgressParams,
    Quality,
    Role,
    Source,
    StepCache,
    SubmitParams,
    TakeRequest,
    Words,
)
from ..storage.disk_errors import reason
from . import edited_movie, take_words
from .serve_child import ServeChild
from .take_output import TakeOutput, choose

FAILED, REFUSED, NOT_STARTED, CANCELED = 1, 2, 3, 130
EMBEDDED = "embedded"
"""The model where none is named."""
LORA_EXPERTS = [expert.value for expert in Expert if expert is not Expert.AUTO]
SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
WORDS = re.compile(r"\s*(\d{1,6})\s*-\s*(\d{1,6})\s*:(.*)", re.DOTALL)
INTERVAL = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})\s*-\s*(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})\s*")
KEPT = re.compile(r"\s*(\d{1,6})\s*:(.+)", re.DOTALL)


def main(options: argparse.Namespace) -> int:
    """Make the take; the exit code."""
    if options.job is not None:
        from . import generate_job

        return generate_job.main(options)
    job_id = uuid.uuid4().hex
    try:
        entry = entries.entry(options.model or (edited_movie.MODEL if options.edit else EMBEDDED))
        output = choose(options.output, job_id, options.overwrite)
        request = build_request(options, entry, output)
    except (entries.UnknownModel, ValueError) as error:
        return exit_with(str(error), REFUSED)
    try:
        state = Path(tempfile.mkdtemp(prefix="wan-backend-"))
    except OSError as error:
        return exit_with(no_temporary_folder(error), NOT_STARTED)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _generate(options, state, job_id, request, output)
    finally:
        output.remove_work_folder()
    if code != FAILED:  # else the logs are still wanted
        shutil.rmtree(state, ignore_errors=True)
    return code


def build_request(options: argparse.Namespace, entry: ModelEntry, output: TakeOutput) -> TakeRequest:
    """The request that the flags mean; raises ValueError with a sentence."""
    width, height, resolution = size_of(options.size or entry.default_size, entry)
    request = TakeRequest(
        prompt=options.prompt,
        negative_prompt=options.negative or "",
        model=entry.id,
        width=width,
        height=height,
        resolution=resolution,
        length_frames=(entry.usual_frames or entry.max_frames) if options.frames is None else options.frames,
        frame_rate=entry.rate,
        seed=1 if options.seed is None else options.seed,
        quality=Quality(options.quality or Quality.STANDARD),
        matrix_precision=MatrixPrecision(options.matrices or MatrixPrecision.EXACT),
        steps=options.steps,
        guidance_scale=options.guidance,
        guidance_interval=None if options.guidance_interval is None else _interval(options.guidance_interval),
        step_cache=StepCache(options.step_cache or StepCache.OFF),
        loras=[_lora(text) for text in options.lora],
        media_folder=str(output.work_folder),
        media_format=output.media_format,
        words=[_words(text) for text in options.words],
        sources=[_kept_picture(text) for text in options.keep],
    )
    if options.edit is not None:
        return edited_movie.request_of(request, options.edit, options.reference, options.frames)
    if options.reference:
        raise ValueError("Reference pictures go with an edit: name its movie with --edit.")
    return request


def _words(text: str) -> Words:
    """FIRST-LAST:TEXT; raises ValueError with a sentence."""
    found = WORDS.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:100]}' has no times; give words as '0-40: the sun rises'.")
    return Words(int(found[1]), int(found[2]), found[3].strip())


def _interval(text: str) -> GuidanceInterval:
    """START-END; raises ValueError with a sentence."""
    found = INTERVAL.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:100]}' is no part of the steps; give a start and an end from 0 to 1, as 0-0.5.")
    return GuidanceInterval(float(found[1]), float(found[2]))


def _kept_picture(text: str) -> Source:
    """FRAME:PICTURE; raises ValueError with a sentence."""
    found = KEPT.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:100]}' has no frame; give a picture to keep as '24:picture.png'.")
    picture = Path(found[2]).absolute()
    return Source(Role.KEPT, str(picture.parent), [picture.name], at_frame=int(found[1]))


def _lora(text: str) -> LoraUse:
    """FILE, FILE=STRENGTH, FILE=EXPERT or FILE=STRENGTH,EXPERT; raises ValueError with a sentence."""
    if Path(text).exists() or "=" not in text:
        return LoraUse(str(Path(text).absolute()))
    path, _, said = text.rpartition("=")
    strength, _, expert = said.rpartition(",")
    if expert not in LORA_EXPERTS:
        strength, expert = said, Expert.AUTO
    try:
        return LoraUse(str(Path(path).absolute()), float(strength) if strength or not said else 1.0, Expert(expert))
    except ValueError:
        example = f"FILE, FILE=0.8 or FILE=0.8,high ({', '.join(LORA_EXPERTS)})"
        raise ValueError(f"'{strength}' is not a strength; give a LoRA as {example}.") from None


def size_of(wanted: str, entry: ModelEntry) -> tuple[int, int, str]:
    """Width, height and the request's `resolution`."""
    numbers = SIZE.fullmatch(wanted)
    if numbers:
        return int(numbers[1]), int(numbers[2]), "exact"
    named = entry.size(wanted)
    if named is None:
        names = ", ".join(size.name for size in entry.sizes)
        raise ValueError(f"'{wanted}' is not a size; give one as 832x480, or one of {names}.")
    return named.width, named.height, named.name


def _generate(options: argparse.Namespace, state: Path, job_id: str, request: TakeRequest, output: TakeOutput) -> int:
    try:
        with ServeChild(state, options, options.state) as server:
            status = server.call("submit", SubmitParams(job_id, request))
            said = say_plan(server, job_id, as_flags=True)
            status = follow(server, status)
    except Refusal as refusal:
        return exit_with(refusal.message + _in_place_of_buttons(refusal, request.model), REFUSED)
    except ProtocolError as error:
        return exit_with(str(error), NOT_STARTED)
    except KeyboardInterrupt:
        return exit_with("Canceled.", CANCELED)
    return _deliver(status, output, said)


def say_plan(server: ServeChild, job_id: str, as_flags: bool = False) -> list[str]:
    """Write the notes of the job's plan to stderr, and return them. Raises ProtocolError.

    `as_flags`: what the panel offers as a button for the step cache is named as a flag.
    """
    plan = server.call("details", JobParams(job_id)).plan
    notes = [str(note) for note in plan.notes] if plan else []
    offered = [fix for fix in plan.fixes if fix.setting is FixSetting.STEP_CACHE] if plan and as_flags else []
    for line in (*notes, *(f"{fix.label}: --step-cache {fix.value}" for fix in offered)):
        sys.stderr.write(line + "\n")
    return notes


def _in_place_of_buttons(refusal: Refusal, model: str) -> str:
    """At a terminal there is no button: the flag that says what a file is, the command that fetches the model."""
    words = ""
    for fix in refusal.problem.fixes:
        if fix.action is FixAction.TRANSFORMER_WHOLE:
            words += f"\nSay it with --transformer {shlex.quote(fix.value)}=whole (or =high, =low)"
        elif fix.action is FixAction.DOWNLOAD:
            words += f"\nDownload it with {locate.download_command(model)}"
    return words


def follow(server: ServeChild, status: JobStatus) -> JobStatus:
    """The status with which the job ends; Ctrl-C cancels it, a second one leaves at once."""
    shown = ""
    canceled = False
    while not status.state.ended:
        try:
            event = server.event("job", "progress")
        except KeyboardInterrupt:
            if canceled:
                raise
            canceled = True
            status = server.call("cancel", JobParams(status.job_id))
            continue
        if event.job_id == status.job_id:
            status = event if isinstance(event, JobStatus) else _on_with(status, event)
            shown = _show(status, shown)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return status


def _on_with(status: JobStatus, report: ProgressParams) -> JobStatus:
    """The status after the job said how far it is."""
    return dataclasses.replace(
        status, state=report.state, progress=report.progress, eta_seconds=report.eta_seconds, sentence=report.sentence
    )


def _show(status: JobStatus, shown: str) -> str:
    """Write how far the job is; on a terminal over the line before, else only when the phase changed."""
    percent = f"{status.progress:4.0%}"
    left = f", about {status.eta_seconds:.0f} s left" if status.eta_seconds else ""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{percent} {status.sentence}{left}".ljust(79)[:79])
        sys.stderr.flush()
    elif status.state.value != shown:
        sys.stderr.write(f"{percent} {status.sentence}\n")
    return status.state.value


def _deliver(status: JobStatus, output: TakeOutput, said: Collection[str]) -> int:
    if status.state is JobState.CANCELED:
        return exit_with("Canceled.", CANCELED)
    if status.take is None:
        problem = status.problem
        log = f" Its log: {problem.log}" if problem and problem.log else ""
        return exit_with((problem.sentence if problem else "The take was not made.") + log, FAILED)
    take_words.say(Path(status.take.folder), said)
    try:
        output.publish(status.take)
    except OSError as error:
        return exit_with(f"{output.target} can't be written ({reason(error)}); choose another name.", REFUSED)
    sys.stdout.write(f"{output.target}\n")
    return 0


def no_temporary_folder(error: OSError) -> str:
    """What a verb says that has no folder for its server's queue and logs."""
    place = error.filename or "The folder of temporary files"
    return f"{place} can't be written ({reason(error)}); make room, or have TMPDIR name another folder."


def exit_with(sentence: str, code: int) -> int:
    """Write the sentence to stderr; returns the code."""
    sys.stderr.write(sentence.encode("utf-8", "replace").decode("utf-8") + "\n")
    return code
