"""Takes the pictures of ``docs/screenshots``: ``make screenshots``.

    python tests/console/screenshots.py [FOLDER]

Every screen, on a desk and on a phone, of a server with a made-up working day.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from desk import Desk, desk_config, open_desk
from playwright.sync_api import Browser, Page, sync_playwright
from scene import READY, Scene

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
DESK = {"width": 1120, "height": 720}
PHONE = {"width": 390, "height": 720}
DARK = ("live", "why", "approvals", "policy", "costs")
"""Screens that are shown in the dark, too."""


def main(folder: Path) -> None:
    """Take all of them, instead of those that are there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = shutil.which("chromium")
    assert path, "install Chromium: apt-get install chromium"
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-background-networking", "--hide-scrollbars"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        with open_desk(desk_config(Path(work)), others=False) as desk:
            door = browser.new_context(viewport=DESK).new_page()  # type: ignore[arg-type]
            door.goto(f"{desk.url}/console/login")
            door.screenshot(path=folder / "login.png")
            first = _signed_in(browser, desk, "light", DESK)
            first.screenshot(path=folder / "first-agent.png")
            scene = Scene(desk)
            for name, place in scene.screens.items():
                looks = [("light", DESK, ""), ("light", PHONE, "-phone")]
                looks += [("dark", DESK, "-dark")] if name in DARK else []
                for scheme, size, suffix in looks:
                    page = _signed_in(browser, desk, scheme, size)
                    page.goto(f"{desk.url}/console/{place}")
                    page.wait_for_selector(READY.get(name, "main h1"))
                    page.wait_for_timeout(250)
                    page.screenshot(path=folder / f"{name}{suffix}.png")
                    page.context.close()
        browser.close()


def _signed_in(browser: Browser, desk: Desk, scheme: str, size: dict[str, int]) -> Page:
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(f"{desk.url}/console/login")
    page.fill("#key", desk.people["ada"])
    page.click("text=Sign in >> nth=-1")
    page.wait_for_url(lambda url: not url.endswith("/login"))
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
