"""The downloads as the server last reported them, and the calls that start, pause and cancel them.

The server has the state and keeps it on the disk; nothing of it is in a .blend.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.downloads import (
    DownloadPlan,
    DownloadsResult,
    DownloadState,
    DownloadStatus,
    ModelParams,
)
from ...wan_backend.protocol.sentences import Sentence
from ..backend.client import ChildClient

ENDED = Sentence("The backend ended; press Resume to continue.")


class KnownDownloads:
    """The downloads by model id. `client()` returns the server's client; `on_done()` is called once a model is here."""

    def __init__(
        self, client: Callable[[], ChildClient | None], on_change: Callable[[], None], on_done: Callable[[], None]
    ) -> None:
        self.plans: dict[str, DownloadPlan] = {}
        self.refused: dict[str, str] = {}
        """Why the server refused what was asked last, by model."""
        self._client, self._on_change, self._on_done = client, on_change, on_done
        self._statuses: dict[str, DownloadStatus] = {}
        self._asked: set[str] = set()

    @property
    def busy(self) -> bool:
        """True while a download runs or waits, or a plan is asked for."""
        return any(status.state.active for status in self._statuses.values()) or bool(self._asked)

    def status(self, model: str) -> DownloadStatus | None:
        """How far the download is; None if there is none."""
        return self._statuses.get(model)

    def unfinished(self) -> list[DownloadStatus]:
        """The downloads that run, wait, are paused or failed."""
        return [status for status in self._statuses.values() if status.state is not DownloadState.DONE]

    def is_asked(self, model: str) -> bool:
        """True while the hub is asked what the model would take."""
        return model in self._asked

    def is_begun(self, model: str) -> bool:
        """True if its plan is asked for or known, or the download runs, waits, is paused, failed or was refused."""
        status = self._statuses.get(model)
        unfinished = status is not None and status.state is not DownloadState.DONE
        return unfinished or model in self._asked or model in self.plans or model in self.refused

    def ask(self, model: str) -> None:
        """Ask what the download would take; the answer comes into `plans`."""
        self.forget(model)

        def answered(plan: DownloadPlan) -> None:
            self._asked.discard(model)
            self.plans[model] = plan
            self._on_change()

        def failed(error: ProtocolError) -> None:
            self._asked.discard(model)
            self._on_error(model, error)

        client = self._client()
        if client is not None:
            self._asked.add(model)
            client.call("download_plan", ModelParams(model), answered, failed)
        self._on_change()

    def forget(self, model: str) -> None:
        """Drop the model's plan and refusal, because the person decided against it."""
        self.plans.pop(model, None)
        self.refused.pop(model, None)
        self._on_change()

    def start(self, model: str) -> None:
        """Start the download, or resume it."""
        self._order("download", model)

    def pause(self, model: str) -> None:
        """Pause the download."""
        self._order("pause_download", model)

    def cancel(self, model: str) -> None:
        """Stop the download and remove its files."""
        self._order("cancel_download", model)

    def receive(self, status: DownloadStatus) -> None:
        """The server reports one download."""
        before = self._statuses.get(status.model)
        if status.state is DownloadState.CANCELED:
            self._statuses.pop(status.model, None)
        else:
            self._statuses[status.model] = status
        if status.state is DownloadState.DONE and (before is None or before.state is not DownloadState.DONE):
            self._on_done()
        self._on_change()

    def receive_all(self, result: DownloadsResult) -> None:
        """The server reports all downloads; there are no others."""
        self._statuses = {status.model: status for status in result.downloads}
        self._on_change()

    def server_gone(self) -> None:
        """Show running downloads as paused until the next server reports them."""
        self._asked.clear()
        self.plans.clear()
        for model, status in self._statuses.items():
            if status.state.active:
                self._statuses[model] = dataclasses.replace(
                    status, state=DownloadState.PAUSED, bytes_per_second=0.0, seconds_left=None, sentence=ENDED
                )

    def _order(self, method: str, model: str) -> None:
        self.forget(model)
        client = self._client()
        if client is not None:
            client.call(method, ModelParams(model), self.receive, lambda error: self._on_error(model, error))

    def _on_error(self, model: str, error: Any) -> None:
        self.refused[model] = error.message
        self._on_change()
