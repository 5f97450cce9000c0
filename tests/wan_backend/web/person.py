"""Somebody at the page, with a browser of their own.

    python person.py ADDRESS

does what comes on stdin, a line of JSON each, and answers each with one: for tests whose own Python has no playwright.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from typing import Any

PATIENCE = 300_000
FLAGS = ["--no-sandbox", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
"""No name leads anywhere; the page goes by an address."""
PROMPT = "a red circle on a blue ground"


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, browser: Any, address: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._context = browser.new_context(viewport={"width": 1280, "height": 720})
        self._context.set_default_timeout(PATIENCE)
        self._context.on("request", lambda request: self.requests.append(request.url))
        self._context.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self._context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page = self._context.new_page()
        self.page.goto(address)
        self.page.locator("#board h2").first.wait_for()

    def ask(self, prompt: str = PROMPT, seconds: str = "0.5", quality: str = "Draft") -> None:
        """Fill the form in and press the button."""
        page = self.page
        if not page.locator("#quality").is_visible():
            page.locator("#settings > button").click()
        page.wait_for_function("() => document.querySelector('#model input')?.value")  # the server has told its models
        page.locator("#quality").get_by_text(quality, exact=True).click()
        page.locator("#seconds input[type=number]").fill(seconds)
        page.locator("#seconds input[type=number]").press("Tab")
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#make").click()

    def job(self, prompt: str) -> Any:
        """The row of a job."""
        return self.page.locator(".job", has_text=prompt)

    def take(self, prompt: str) -> Any:
        """The card of a take."""
        return self.page.locator(".take", has_text=prompt)

    def close(self) -> None:
        """Leave."""
        self._context.close()


def main(address: str) -> None:
    """Be that person until stdin ends."""
    with launched() as browser:
        one = Person(browser, address)
        for line in sys.stdin:
            sys.stdout.write(json.dumps(_done(one, **json.loads(line))) + "\n")
            sys.stdout.flush()


def _done(one: Person, do: str, prompt: str = "", **values: str) -> Any:
    """Ask for a take, cancel a job, wait for a job or a take; or say what the queue shows, each job by its lines."""
    if do == "ask":
        one.ask(prompt, **values)
    elif do == "cancel":
        one.job(prompt).get_by_role("button", name="Cancel").click()
    elif do == "wait":
        (one.take if values["what"] == "take" else one.job)(prompt).first.wait_for()
    else:
        return [row.inner_text().split("\n") for row in one.page.locator(f".{do}").all()]
    return None


if __name__ == "__main__":
    main(sys.argv[1])
