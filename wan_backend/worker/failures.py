"""What went wrong in a job, as a Problem with a sentence that says what to do about it."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

from ..catalogue import entries
from ..loading import devices
from ..loading.wan_model import WanModel
from ..pipelines.stopping import Stopped
from ..planning.training_steps import FRAMES
from ..protocol.errors import Refusal
from ..protocol.media import STEPS_FILE
from ..protocol.messages import CANCELED, Fix, FixSetting, Plan, Problem, ProblemKind, RunParams, TrainingKind
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import byte_sizes, disk_errors, media_folder

MIN_FRAMES = 9
CPU = "cpu"
PROCESSOR = Sentence("The machine")
CARD = Sentence("The graphics card")
MACHINE = Sentence("This machine's own memory")
MACHINE_ADVICE = (
    Sentence("; Windows needs a larger paging file for this (System > Advanced > Performance > Virtual memory)")
    if sys.platform == "win32"
    else ""
)


def problem_of(error: BaseException, params: RunParams, device_name: Sentence) -> Problem:
    """The Problem that `error` is for the job `params`."""
    if isinstance(error, Refusal):
        return error.problem
    if isinstance(error, Stopped):
        return CANCELED
    if devices.is_out_of_memory(error):
        machine = devices.is_out_of_machines_memory(error) and device_name not in (CPU, PROCESSOR)
        return out_of_memory(params, MACHINE if machine else device_name, MACHINE_ADVICE if machine else "")
    if isinstance(error, OSError):
        return disk_problem(error, params)
    sentence = Sentence(
        "The worker failed ({error}); try again, and report it with the log if it happens again.",
        error=type(error).__name__,
    )
    return Problem(ProblemKind.INTERNAL, sentence, log=_log_file())


def out_of_memory(params: RunParams, device_name: Sentence, more: str = "") -> Problem:
    """The take needs more memory than there is; with fixes that make it smaller. `more` is further advice."""
    plan, of_memory = params.plan, "" if device_name == MACHINE else Sentence(" of memory")
    if params.request.training is not None:
        return _out_of_memory_in_training(params, device_name, more)
    sentence = Sentence(
        "{device} ran out{of_memory} at {width} x {height} with {frames} frames; "
        "choose a smaller size or a shorter length, or close other programs that use it{more}.",
        device=device_name,
        of_memory=of_memory,
        width=plan.width,
        height=plan.height,
        frames=plan.model_frames,
        more=more,
    )
    return Problem(ProblemKind.OUT_OF_MEMORY, sentence, _smaller(params), log=_log_file())


def _out_of_memory_in_training(params: RunParams, device_name: Sentence, more: str) -> Problem:
    """Smaller ways of the same training were tried by then: what is left is less to train on."""
    plan, machine = params.plan, device_name == MACHINE
    shorter = plan.model_frames > FRAMES[TrainingKind.LOOK]
    sentence = Sentence(
        "{device} ran out{of_memory} in training at {width} x {height} with {frames} frames{tried}; choose a smaller "
        "size{shorter} or a smaller model, or close other programs that use it, then press Retry{more}.",
        device=device_name,
        of_memory="" if machine else Sentence(" of memory"),
        width=plan.width,
        height=plan.height,
        frames=plan.model_frames,
        tried=Sentence(", also with the frozen weights in 8 bit and outside of the card")
        if device_name == CARD
        else NO_SENTENCE,
        shorter=Sentence(", let it learn a look, whose clips are shorter,") if shorter else NO_SENTENCE,
        more=more,
    )
    return Problem(ProblemKind.OUT_OF_MEMORY, sentence, log=_log_file())


def numbers_ran_over(params: RunParams, model: WanModel, component: str, done: int, steps: int) -> Problem:
    """The latents were not finite numbers after `done` of `steps`, which `component` of the model made.

    The weights themselves were checked when they were loaded, so it's what was computed that grew too large.
    """
    began = Sentence(
        "The take failed at step {done} of {steps}: its numbers overflowed, and every picture would be black.",
        done=done,
        steps=steps,
    )
    loras = params.plan.loras
    if not loras:
        place = model.component_files.path(component) if model.component_files.has(component) else model.folder
        sentence = Sentence("{began} Try the default settings, or another file than {place}.", began=began, place=place)
        return Problem(ProblemKind.MODEL_BROKEN, sentence)
    names = ", ".join(dict.fromkeys(f'"{Path(use.path).name}"' for use in loras))
    sentence = Sentence(
        "{began} Lower the strength of its LoRAs ({names}), or leave them out.", began=began, names=names
    )
    fixes = [Fix(Sentence("Remove It"), FixSetting.WITHOUT_LORA, loras[0].path)] if len(loras) == 1 else []
    return Problem(ProblemKind.BAD_LORA, sentence, fixes)


def decoded_no_pictures(params: RunParams, model: WanModel, tiny: bool) -> Problem:
    """The autoencoder, or the `tiny` one, turned finite latents into pictures that are not."""
    place = params.tiny_decoder if tiny else model.component_files.path("vae")
    sentence = Sentence(
        "The autoencoder {place} made no pictures for this take: its numbers overflowed. Get the "
        "file again, or use another.",
        place=place,
    )
    return Problem(ProblemKind.MODEL_BROKEN, sentence)


def disk_problem(error: OSError, params: RunParams) -> Problem:
    """The take could not be written, or a file could not be read."""
    if params.request.training is not None and (disk_errors.is_full(error) or disk_errors.is_quota(error)):
        return _training_disk_problem(error, params)
    folder = params.request.media_folder
    needed, free_bytes = byte_sizes.size_in_words(params.plan.disk_bytes), _free_bytes(folder)
    if disk_errors.is_quota(error):
        sentence = Sentence(
            "Your quota on the disk of {folder} is used up: the take needs about {needed}; delete "
            "something of yours and try again{kept}, or choose another media folder.",
            folder=folder,
            needed=needed,
            kept=_kept(params),
        )
        return Problem(ProblemKind.DISK_FULL, sentence, log=_log_file())
    if disk_errors.is_full(error) and free_bytes > params.plan.disk_bytes + media_folder.RESERVE_BYTES:
        sentence = Sentence(
            "The disk of {folder} can't be written to, though it has room: a quota is used up, or it "
            "holds as many files as it can. Delete some there and try again{kept}, or choose another "
            "media folder.",
            folder=folder,
            kept=_kept(params),
        )
        return Problem(ProblemKind.DISK_FULL, sentence, log=_log_file())
    if disk_errors.is_full(error):
        free = byte_sizes.size_in_words(free_bytes)
        sentence = Sentence(
            "The disk of {folder} is full: {free} are free, the take needs about {needed}; make room "
            "and try again{kept}, or choose another media folder.",
            folder=folder,
            free=free,
            needed=needed,
            kept=_kept(params),
        )
        return Problem(ProblemKind.DISK_FULL, sentence, log=_log_file())
    where = error.filename or folder
    if not _is_written(str(where), params):
        sentence = Sentence(
            "{where} can't be read ({reason}); check its disk and try again, or replace it.",
            where=where,
            reason=disk_errors.reason(error),
        )
        return Problem(ProblemKind.FOLDER, sentence, log=_log_file())
    trains = params.request.training is not None
    sentence = Sentence(
        "{where} can't be written ({reason}); choose another {what}.",
        where=where,
        reason=disk_errors.reason(error),
        what=media_folder.LORAS if trains else media_folder.MEDIA,
    )
    return Problem(ProblemKind.FOLDER, sentence, log=_log_file())


def _training_disk_problem(error: OSError, params: RunParams) -> Problem:
    """The disk is full of a training's clips, of its steps or of its LoRAs: the two may be on two disks."""
    folder = str(error.filename or params.work_folder)
    sentence = Sentence(
        "The disk of {folder} is full: {free} are free. Make room, then press Retry{kept}.",
        folder=folder,
        free=byte_sizes.size_in_words(_free_bytes(folder)),
        kept=_kept(params),
    )
    return Problem(ProblemKind.DISK_FULL, sentence, log=_log_file())


def _is_written(place: str, params: RunParams) -> bool:
    """True for a file that the worker writes; it only reads all others."""
    written = (params.request.media_folder, params.work_folder, params.state_folder)
    return any(place == folder or place.startswith(folder + os.sep) for folder in written if folder)


def _kept(params: RunParams) -> Sentence:
    kept = params.work_folder and Path(params.work_folder, STEPS_FILE).is_file()
    return Sentence(" (it resumes from its last step)") if kept else NO_SENTENCE


def _free_bytes(folder: str) -> int:
    try:
        return byte_sizes.free_bytes_at(Path(folder))
    except OSError:
        return 0


def _smaller(params: RunParams) -> list[Fix]:
    fixes = [_smaller_size(params.plan), _shorter(params)]
    return [fix for fix in fixes if fix is not None]


def _smaller_size(plan: Plan) -> Fix | None:
    """Choose the largest size of the model that is clearly smaller."""
    try:
        sizes = entries.entry(plan.model).sizes
    except entries.UnknownModel:
        return None
    fitting = [size for size in sizes if size.width * size.height < 0.9 * plan.width * plan.height]
    if not fitting:
        return None
    best = max(fitting, key=lambda size: size.width * size.height)
    return Fix(Sentence("Make it in {size}", size=best.name), FixSetting.RESOLUTION, best.name)


def _shorter(params: RunParams) -> Fix | None:
    """Make it about half as long."""
    plan = params.plan
    if plan.model_frames < 2 * MIN_FRAMES:
        return None
    model_frames = (plan.model_frames - 1) // 8 * 4 + 1
    seconds = Fraction(model_frames - 1) / plan.model_frame_rate.exact()
    length = int(seconds * params.request.frame_rate.exact()) + 1
    return Fix(Sentence("Make it {frames} frames long", frames=length), FixSetting.LENGTH_FRAMES, str(length))


def _log_file() -> str:
    """The file that stderr goes to; "" if that can't be found out."""
    if sys.platform != "linux":
        return ""
    try:
        target = os.readlink("/proc/self/fd/2")
    except OSError:
        return ""
    return target if target.startswith("/") and Path(target).is_file() else ""
