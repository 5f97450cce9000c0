"""A sound and a notice of the system, for who has turned to other work: a take has landed, or the queue has ended.

Off unless the preferences ask for it. The sound is made here; the notice is shown by a command of the system's own,
which is never waited for, and says nothing of what was made. What the system lacks is left out without a word.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from typing import Any

from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import JobState, JobStatus
from ..jobs import folders, session
from ..stopwatch import timed

log = logging.getLogger(__name__)

NEVER, TAKE, QUEUE = "NEVER", "TAKE", "QUEUE"
TONES_HERTZ = (660.0, 880.0)
TONE_SECONDS = 0.16
_RATE = 48000
_VOLUME = 0.25
_WORDS = "WAN_VSE_NOTICE"
"""The environment variable by which PowerShell gets the words: none of them is read as a command."""
_APPLE_SCRIPT = ("on run words", 'display notification (item 1 of words) with title "Blender"', "end run")
_TOAST = """
$kind = [Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]
$content = $kind::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$texts = $content.GetElementsByTagName('text')
$texts.Item(0).AppendChild($content.CreateTextNode('Blender')) > $null
$texts.Item(1).AppendChild($content.CreateTextNode($env:WAN_VSE_NOTICE)) > $null
$shell = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'
$kind::CreateToastNotifier($shell).Show([Windows.UI.Notifications.ToastNotification]::new($content))
"""


class Announcer:
    """Follows the queue from one change to the next, and announces what the preferences ask for."""

    def __init__(self) -> None:
        self._going_on: set[str] = set()
        self._ended: list[JobStatus] = []
        """How the jobs ended since the queue had nothing to do last; not those that a person canceled."""
        self._sound: Any = None
        """What plays now: it ends with its handle."""
        self._command: subprocess.Popen[bytes] | None = None

    def follow(self, landed: int) -> None:
        """Something changed, and so many takes have landed."""
        wanted = folders.preferences()
        when = NEVER if wanted is None else wanted.announce
        if when == NEVER:
            self._going_on, self._ended = set(), []
            return
        ended = self._just_ended()
        words = self._end_of_queue(ended)
        if when == TAKE:
            words = " ".join(filter(None, (take_words(landed, _failed(ended)), training_words(ended))))
        if words:
            self.announce(words)

    def _just_ended(self) -> list[JobStatus]:
        order, jobs = session.current().order(), session.current().jobs
        now = {job_id for _, _, job_id in order.going_on[: order.to_make]}
        gone = [jobs.get(job_id) for job_id in self._going_on - now]
        self._going_on = now
        return [job for job in gone if job is not None and job.state.ended and job.state is not JobState.CANCELED]

    def _end_of_queue(self, ended: list[JobStatus]) -> str:
        """What is to be said if nothing is left to be made; else empty."""
        self._ended += ended
        if self._going_on or not self._ended:
            return ""
        takes = sum(job.summary.training is None for job in self._ended)
        failed, trainings = _failed(self._ended), training_words(self._ended)
        self._ended = []
        words = queue_words(takes - failed, failed) if takes else iface_("The queue has ended.")
        return " ".join(filter(None, (words, trainings)))

    @timed("announcement")
    def announce(self, words: str) -> None:
        """Play the sound and show the notice, as far as the preferences and the system have them."""
        wanted = folders.preferences()
        if wanted is None:
            return
        if wanted.announce_by_sound:
            self._sound = play()
        if wanted.announce_by_notice and (self._command is None or self._command.poll() is not None):
            self._command = show(words)


def _failed(ended: list[JobStatus]) -> int:
    """How many takes have failed."""
    return sum(job.summary.training is None and job.state is not JobState.DONE for job in ended)


def training_words(ended: list[JobStatus]) -> str:
    """What is said of trainings that have ended just now; empty for none."""
    states = [job.state for job in ended if job.summary.training is not None]
    done = sum(state is JobState.DONE for state in states)
    failed = len(states) - done
    words = []
    if done:
        words.append(iface_("A LoRA is trained.") if done == 1 else iface_("{:,} LoRAs are trained.").format(done))
    if failed:
        words.append(iface_("A training has failed." if failed == 1 else "{:,} trainings have failed.").format(failed))
    return " ".join(words)


def take_words(landed: int, failed: int) -> str:
    """What is said of takes that have landed or failed just now; empty for none."""
    words = []
    if landed:
        words.append(iface_("A take has landed.") if landed == 1 else iface_("{:,} takes have landed.").format(landed))
    if failed:
        words.append(iface_("A take has failed.") if failed == 1 else iface_("{:,} takes have failed.").format(failed))
    return " ".join(words)


def queue_words(made: int, failed: int) -> str:
    """What is said at the end of the queue."""
    if not failed:
        return iface_("The queue has ended. Takes made: {:,}.").format(made)
    return iface_("The queue has ended. Takes made: {:,}, failed: {:,}.").format(made, failed)


def tones() -> Any:
    """Two short tones, the second higher."""
    import aud  # which Blender may be built without

    low, high = (
        aud.Sound.sine(hertz, _RATE).limit(0, TONE_SECONDS).fadein(0, 0.02).fadeout(TONE_SECONDS - 0.1, 0.1)
        for hertz in TONES_HERTZ
    )
    return low.join(high).volume(_VOLUME)


def play() -> Any:
    """Play them, beside whatever else sounds; gives what keeps them playing, or None without sound."""
    try:
        import aud

        return aud.Device().play(tones())
    except Exception as error:  # noqa: BLE001 - aud.error can't be named where there is no aud
        log.info("No sound: %s", error)
        return None


def command(words: str, system: str = sys.platform) -> list[str]:
    """The system's command that shows the words; empty if it has none."""
    name = {"win32": "powershell", "darwin": "osascript"}.get(system, "notify-send")
    program = shutil.which(name)
    if program is None:
        return []
    if system == "win32":
        return [program, "-NoProfile", "-NonInteractive", "-WindowStyle", "Hidden", "-Command", _TOAST]
    if system == "darwin":
        lines = [part for line in _APPLE_SCRIPT for part in ("-e", line)]
        return [program, *lines, words]
    return [program, "--app-name=Blender", "--icon=blender", "Blender", words]


def show(words: str) -> subprocess.Popen[bytes] | None:
    """Start the command, and don't wait for it; None if there is none."""
    arguments = command(words)
    if not arguments:
        return None
    more: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        more = {"creationflags": subprocess.CREATE_NO_WINDOW}
    none = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            arguments, stdin=none, stdout=none, stderr=none, env={**os.environ, _WORDS: words}, **more
        )
    except (OSError, ValueError) as error:
        log.info("No notice: %s", error)
        return None
