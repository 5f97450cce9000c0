"""The report of a run of rebuilding: in a sentence for the panel, and whole as a text of the file."""

from __future__ import annotations

import time

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .rebuild_run import Entry, State

TEXT = "Rebuilt Takes"
"""The name of the text that holds the report."""


def summary(entries: list[Entry]) -> str:
    """How the run went, in a sentence."""
    rebuilt, failed, skipped = (
        sum(entry.state is state for entry in entries) for state in (State.REBUILT, State.FAILED, State.SKIPPED)
    )
    text = iface_("{} of {} stale takes were rebuilt").format(rebuilt, len(entries))
    if failed:
        text = iface_("{}, {} failed").format(text, failed)
    if skipped:
        text = iface_("{}, {} skipped").format(text, skipped)
    return iface_("{}.").format(text)


def written(entries: list[Entry], ended_at: float) -> str:
    """The report, to be read, of a run that ended then, in seconds since 1970."""
    lines = [summary(entries), time.strftime("%Y-%m-%d %H:%M", time.localtime(ended_at)), ""]
    titles = {State.REBUILT: "Rebuilt", State.FAILED: "Failed", State.SKIPPED: "Skipped"}
    for state, title in titles.items():
        there = [entry for entry in entries if entry.state is state]
        if not there:
            continue
        lines.append(iface_("{}: {}").format(iface_(title), len(there)))
        for entry in there:
            place = (entry.stale.strip, entry.stale.scene, entry.stale.frame)
            lines.append("  " + iface_("'{}' in scene '{}', frame {}").format(*place))
            lines.append("      " + iface_("Was stale: {}").format(entry.stale.reason))
            lines += ["      " + entry.why] if entry.why else []
        lines.append("")
    if any(entry.state is State.REBUILT for entry in entries):
        lines.append(iface_("The take before each new one stays on its strip: Previous Take shows it again."))
    return "\n".join(lines)


def show_text(report: str) -> bpy.types.Text:
    """The report as a text of the open file."""
    text: bpy.types.Text | None = bpy.data.texts.get(TEXT)
    if text is None or text.library is not None:
        text = bpy.data.texts.new(TEXT)
    text.from_string(report.encode("utf-8", "replace").decode())
    text.cursor_set(0)
    return text
