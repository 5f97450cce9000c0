"""Makes docs/images/web.png and web-phone.png: the page in a headless Chromium, with takes of the embedded model.

    build/environments/backend/bin/python tests/pictures/web.py [FOLDER]

Needs Debian's chromium, and Gradio and playwright in the backend's environment.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600_000
PROMPTS = (
    "an orange circle rises in the sky",
    "a white star spins over a night sky",
    "a green square slides to the right",
)
LAST = "a purple triangle falls into the sea"
SETTLE = 1500


def main() -> int:
    """Serve a page with takes on it, and take its pictures; the exit code."""
    from playwright.sync_api import sync_playwright

    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as work:
        command = [
            sys.executable,
            "-m",
            "wan_backend",
            "web",
            "--port",
            "0",
            "--device",
            "cpu",
            "--state",
            f"{work}/state",
        ]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().split()[1]
                with sync_playwright() as started:
                    flags = ["--no-sandbox", "--disable-background-networking"]
                    browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
                    draw(browser, address, out)
                    browser.close()
            finally:
                process.terminate()
    return 0


def draw(browser: Any, address: str, out: Path) -> None:
    """Make takes, then the pictures while one more is made."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.locator("#settings > button").click()
    page.wait_for_function("() => document.querySelector('#model input')?.value")  # the server has told its models
    page.locator("#seconds input[type=number]").fill("2")
    page.locator("#seconds input[type=number]").press("Tab")
    page.locator("#settings > button").click()
    for prompt in PROMPTS:
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#make").click()
        page.locator(".job, .take", has_text=prompt).first.wait_for()
    page.wait_for_function(f"() => document.querySelectorAll('.take').length === {len(PROMPTS)}")
    for prompt in (LAST, "two red circles meet"):
        page.locator("#prompt textarea").fill(prompt)
        page.locator("#make").click()
    page.wait_for_function("() => document.querySelector('.job.runs img')?.naturalWidth > 8")
    show_frames(page)
    page.screenshot(path=out / "web.png")
    phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    phone.set_default_timeout(PATIENCE)
    phone.goto(address)
    phone.locator(".take").first.wait_for()
    phone.locator("#prompt textarea").fill(LAST)
    show_frames(phone)
    phone.screenshot(path=out / "web-phone.png")
    while page.locator(".job").count():  # the server would go on with them
        page.locator(".job .cancel").first.click()
        page.wait_for_timeout(SETTLE)


def show_frames(page: Any) -> None:
    """Have the movies show a frame from their middle."""
    page.evaluate("() => document.querySelectorAll('video').forEach(video => (video.currentTime = video.duration / 2))")
    page.wait_for_timeout(SETTLE)


if __name__ == "__main__":
    sys.exit(main())
