"""States, times and sizes as words and icons."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.downloads import DownloadPlan, DownloadStatus
from ...wan_backend.protocol.messages import (
    FrameRate,
    Hold,
    JobState,
    JobStatus,
    JobSummary,
    LoraUse,
    Plan,
    SetupProgress,
    Task,
    Words,
)
from ...wan_backend.protocol.sentences import Sentence
from ..jobs import lora_rows
from ..jobs.sourcing import LOOKING_AT_CAMERA, RENDERING
from ..operators.retry_seams import figure_words
from ..properties.task import TASK_ITEMS
from ..timeline import seams
from ..translation import translated

STATE_WORDS = {
    JobState.QUEUED: "Waiting",
    JobState.LOADING: "Loading the model",
    JobState.ENCODING: "Reading the prompt",
    JobState.DENOISING: "Making the picture",
    JobState.DECODING: "Writing the frames",
    JobState.DONE: "Done",
    JobState.FAILED: "Failed",
    JobState.CANCELED: "Canceled",
    JobState.INTERRUPTED: "Interrupted",
}
STATE_ICONS: dict[JobState, Any] = {
    JobState.QUEUED: "SORTTIME",
    JobState.LOADING: "IMPORT",
    JobState.ENCODING: "FONT_DATA",
    JobState.DENOISING: "RENDER_ANIMATION",
    JobState.DECODING: "FILE_MOVIE",
    JobState.DONE: "CHECKMARK",
    JobState.FAILED: "ERROR",
    JobState.CANCELED: "CANCEL",
    JobState.INTERRUPTED: "PAUSE",
}


TRAINING_ICON: Any = "MODIFIER"
TASK_ICONS: dict[str, Any] = {Task[item[0]].value: item[3] for item in TASK_ITEMS}
HOLD_WORDS = {Hold.PERSON: "Held", Hold.NO_PLACEHOLDER: "No placeholder"}


def title(prompt: str, task: Task) -> str:
    """The prompt; if there is none, the task."""
    return prompt.strip() or iface_("{}, without a prompt").format(iface_(task.replace("_", " ").capitalize()))


def job_title(job: JobSummary, prompt: str = "") -> str:
    """What a job is called: a training by its name; a take by its prompt, as far as that is known, or by its task."""
    if job.training is not None:
        return iface_("LoRA: {}").format(job.title)
    words = title(prompt or job.title, job.task)
    return iface_("Larger: {}").format(words) if job.finishes else words


MAX_WORD_LINES = 3
"""Words over time that are listed; the others are counted."""


def words(parts: Sequence[Words], start: int) -> list[str]:
    """ "12 to 40: it begins to rain", in frames from `start` on, for the first few."""
    shown = parts if len(parts) <= MAX_WORD_LINES else parts[: MAX_WORD_LINES - 1]
    lines = [iface_("{} to {}: {}").format(start + part.first, start + part.last, part.prompt) for part in shown]
    if len(shown) < len(parts):
        lines.append(iface_("and {} more").format(len(parts) - len(shown)))
    return lines


def pictures(kept: Sequence[tuple[int, str]]) -> list[str]:
    """ "36: 'Storm'", the frame and the strip of each kept picture, for the first few."""
    shown = kept if len(kept) <= MAX_WORD_LINES else kept[: MAX_WORD_LINES - 1]
    lines = [iface_("{}: '{}'").format(frame, name) for frame, name in shown]
    if len(shown) < len(kept):
        lines.append(iface_("and {} more").format(len(kept) - len(shown)))
    return lines


def is_held(job: JobStatus) -> bool:
    """True if the job waits until it is resumed."""
    return job.state is JobState.QUEUED and job.hold is not Hold.NONE


def icon(job: JobStatus) -> Any:
    """The icon of what a job does, or how it ended."""
    return "PAUSE" if is_held(job) else STATE_ICONS[job.state]


TRAINING_WORDS = {JobState.ENCODING: "Reading the clips", JobState.DENOISING: "Training", JobState.DECODING: "Saving"}
"""In place of the words for a take."""


def state_words(job: JobStatus) -> str:
    """What a job is doing, or how it ended."""
    if job.summary.training is not None and job.state in TRAINING_WORDS:
        return TRAINING_WORDS[job.state]
    return STATE_WORDS[job.state]


def kind_icon(job: JobStatus) -> Any:
    """The icon of the task, or of a training."""
    return TRAINING_ICON if job.summary.training is not None else TASK_ICONS.get(job.summary.task, "NONE")


def takes_being_made(count: int, seconds: float | None, with_training: bool = False) -> str:
    """ "2 takes are being made, 3 min left"; jobs, where one of them is a training."""
    words = iface_("1 take is being made" if count == 1 else "{:,} takes are being made").format(count)
    if with_training:
        words = iface_("1 LoRA is being trained" if count == 1 else "{:,} jobs are being done").format(count)
    return iface_("{}, {} left").format(words, duration(seconds)) if seconds else words


def duration(seconds: float) -> str:
    """A time to wait, as precise as a person needs: "8 s", "2 min 10 s", "1 h 5 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return iface_("{} s").format(whole)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        if minutes < 10 and rest:
            return iface_("{} min {} s").format(minutes, rest)
        return iface_("{} min").format(minutes)
    hours, rest = divmod(whole, 3600)
    return iface_("{} h {} min").format(hours, rest // 60) if rest >= 60 else iface_("{} h").format(hours)


def size(size_bytes: int) -> str:
    """Bytes as "640 MB" or "2.4 GB"."""
    if size_bytes >= 1e9:
        return iface_("{:.1f} GB").format(size_bytes / 1e9)
    return iface_("{} MB").format(max(1, round(size_bytes / 1e6)))


def share(status: DownloadStatus) -> float:
    """How much of a download is here, from 0 to 1."""
    return min(1.0, max(0.0, status.done_bytes / status.total_bytes)) if status.total_bytes else 0.0


def download_bytes(status: DownloadStatus) -> str:
    """ "3.21 of 19.00 GB"; in MB where it is less than one."""
    unit, words, digits = (1e9, "GB", 2) if status.total_bytes >= 1e9 else (1e6, "MB", 1)
    done, total = (f"{count / unit:.{digits}f}" for count in (status.done_bytes, status.total_bytes))
    return iface_("{} of {} {}").format(done, total, words)


def setup_bytes(progress: SetupProgress) -> str:
    """ "310 of 590 MB, 2 min left"; empty if nothing is downloaded."""
    if not progress.total_bytes:
        return ""
    unit, words, digits = (1e9, "GB", 2) if progress.total_bytes >= 1e9 else (1e6, "MB", 0)
    done, total = (f"{count / unit:.{digits}f}" for count in (progress.done_bytes, progress.total_bytes))
    parts = [iface_("{} of {} {}").format(done, total, words)]
    if progress.seconds_left is not None:
        parts.append(iface_("{} left").format(duration(progress.seconds_left)))
    return ", ".join(parts)


def download_rate(status: DownloadStatus) -> str:
    """ "45.2 MB/s, 5 min left"; empty while neither is known."""
    parts = []
    if status.bytes_per_second > 0:
        parts.append(iface_("{:.1f} MB/s").format(status.bytes_per_second / 1e6))
    if status.seconds_left is not None:
        parts.append(iface_("{} left").format(duration(status.seconds_left)))
    return ", ".join(parts)


def download_plan(made: DownloadPlan) -> list[str]:
    """What a model would take, line by line."""
    here = made.total_bytes - made.fetch_bytes
    lines = [iface_("To download: {}").format(size(made.fetch_bytes))]
    if here:
        lines[0] += iface_("; {} are already here").format(size(here))
    lines.append(iface_("Free on the disk: {}").format(size(made.free_bytes)))
    return [*lines, iface_("Into {}").format(made.folder), *made.notes]


def with_time(text: str, made: Plan | None) -> str:
    """ "Fill Gap, about 2 min"; the text alone while that isn't known."""
    if made is None or made.problem is not None or made.expected_seconds is None:
        return text
    return iface_("{}, about {}").format(text, duration(made.expected_seconds))


def short_seconds(length: float) -> str:
    """A length on the timeline, for a line with much else: "2 s", "2.5 s"."""
    return iface_("{} s").format(f"{length:.1f}".removesuffix(".0"))


def frames(count: int) -> str:
    """ "1 frame" or "81 frames"."""
    return iface_("{} frame" if count == 1 else "{} frames").format(count)


def seconds(length: float) -> str:
    """A length on the timeline: "3.00 s"."""
    return iface_("{:.2f} s").format(length)


def rate(frame_rate: FrameRate) -> str:
    """A frame rate as Blender writes it: 24, 23.98."""
    return f"{float(frame_rate.exact()):.2f}".rstrip("0").rstrip(".")


def plan(made: Plan) -> tuple[str, str]:
    """What the model makes, and how long the take will be on the timeline."""
    length, speed = frames(made.model_frames), rate(made.model_frame_rate)
    model = iface_("{} x {}, {} at {} fps").format(made.width, made.height, length, speed)
    shared = made.kept_before + made.kept_after
    if shared:
        model += iface_(", {} of them from the strips beside it").format(shared)
    return model, iface_("{} on the timeline").format(frames(made.take_frames))


def skipped_work(made: Plan) -> str:
    """ ", 15 with guidance, 10 passes reused: 35 of 60 computed"; empty if no work is skipped."""
    parts = []
    if made.guided_steps is not None:
        guided = made.guided_steps.end_exclusive - made.guided_steps.first
        parts.append(iface_(", {} with guidance").format(guided))
    if made.reused_steps is not None:
        reused = len(made.reused_steps.prompt) + len(made.reused_steps.negative)
        parts.append(iface_(", {} passes reused").format(reused))
    if parts:
        parts.append(iface_(": {} of {} passes computed").format(made.forwards, made.all_forwards))
    return "".join(parts)


def loras(made_with: list[LoraUse]) -> str:
    """ "LoRAs: style 0.8, film 1"."""
    names = ", ".join(f"{lora_rows.name_of(use.path)} {use.strength:g}" for use in made_with)
    return iface_("LoRAs: {}").format(names)


def coming_frames(asked_frames: int, made: Plan | None) -> int:
    """How many frames of the scene the take will have: as many as asked for, unless the model makes fewer."""
    return asked_frames if made is None or made.problem is not None else min(asked_frames, made.take_frames)


def is_rendering(job: JobStatus) -> bool:
    """True while what the take is made from is rendered: the backend doesn't have the job yet."""
    return _rendering(job) is not None


def _rendering(job: JobStatus) -> Sentence | None:
    """What Blender does for it before the backend has it; None if it does nothing."""
    if job.state is not JobState.QUEUED:
        return None
    return next((each for each in (RENDERING, LOOKING_AT_CAMERA) if job.sentence == each), None)


def state(job: JobStatus) -> str:
    """What a job is doing, or how it ended."""
    if is_held(job):
        return iface_(HOLD_WORDS[job.hold])
    rendering = _rendering(job)
    return translated(rendering.unended()) if rendering is not None else iface_(state_words(job))


def progress_says(job: JobStatus, sentence: Sentence) -> bool:
    """True if `progress` says all of it already. They are compared in English, as they are translated apart."""
    counted = Sentence("Step {done} of {steps}", done=job.step, steps=job.steps)
    step = counted if job.steps and job.state is JobState.DENOISING else ""
    words = HOLD_WORDS[job.hold] if is_held(job) else _rendering(job) or state_words(job)
    return (step or words).startswith(sentence.rstrip("."))


def progress(job: JobStatus) -> str:
    """How far a job is, in words: "Step 3 of 8, 12 s left"."""
    parts = (
        [iface_("Step {} of {}").format(job.step, job.steps)] if job.steps and job.state is JobState.DENOISING else []
    )
    parts = parts or [state(job)]
    if job.eta_seconds is not None and not job.state.ended:
        parts.append(iface_("{} left").format(duration(job.eta_seconds)))
    return ", ".join(parts)


def short_progress(job: JobStatus) -> str:
    """How far a job is, for a narrow bar: "3/8, 12 s"."""
    parts = [f"{job.step}/{job.steps}"] if job.steps and job.state is JobState.DENOISING else []
    parts = parts or [f"{int(job.progress * 100)}%"]
    if job.eta_seconds is not None:
        parts.append(duration(job.eta_seconds))
    return ", ".join(parts)


@lru_cache(maxsize=512)
def one_line(text: str, max_characters: int) -> str:
    """Any text as one line of at most `max_characters` characters, cut between words if it has any."""
    whole = " ".join(text.split())
    return (
        textwrap.shorten(whole, max_characters, placeholder=" ...")
        if " " in whole[:max_characters]
        else whole[:max_characters]
    )


def seam_grade(number: float) -> int:
    """0 for a seam that joins, 1 for one that nearly does, 2 for one that jumps."""
    return (number > seams.JOINS) + (number > seams.NEARLY)


def joined(found: seams.Seams) -> list[tuple[str, int]]:
    """ "Start: joins (0.8)", "End: jumps (2.4)", each with its grade; nothing for an end that isn't joined."""
    graded = (
        (found.start, ("Start: joins ({})", "Start: nearly joins ({})", "Start: jumps ({})")),
        (found.end, ("End: joins ({})", "End: nearly joins ({})", "End: jumps ({})")),
    )
    return [
        (iface_(words[grade]).format(figure_words(jump.number)), grade)
        for jump, words in graded
        if jump is not None
        for grade in (seam_grade(jump.number),)
    ]


def measured(found: seams.Seams) -> list[str]:
    """ "Start: motion 0.3, level 0.5, color 0.8", a line for each end that is joined."""
    words = iface_("Start: motion {}, level {}, color {}"), iface_("End: motion {}, level {}, color {}")
    return [
        line.format(*map(figure_words, (jump.motion, jump.level, jump.color)))
        for line, jump in zip(words, found, strict=True)
        if jump is not None
    ]
