"""A browser, a server with its console, and people who are signed in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk, SignIn, desk_config, open_desk
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

expect.set_options(timeout=20_000)  # machines of CI are busy

FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-gpu", "--mute-audio")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which talks to nobody but the tests' servers."""
    path = shutil.which("chromium")
    assert path, "the console's tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A server that the tests of a module share."""
    with open_desk(desk_config(tmp_path_factory.mktemp("desk"))) as opened:
        yield opened


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """A server of the test's own."""
    with open_desk(desk_config(tmp_path)) as opened:
        yield opened


class Complaints(list[str]):
    """What a page complained of: errors of scripts, and everything that the CSP refused."""


@pytest.fixture
def sign_in(browser: Browser) -> Iterator[SignIn]:
    """Sign somebody in, in a browser context of their own; their page must complain of nothing."""
    contexts: list[BrowserContext] = []
    heard = Complaints()

    def opened(desk: Desk, who: str = "ada", *, scheme: str = "light", width: int = 1280) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on(
            "console",
            lambda message: (
                heard.append(message.text)
                if message.type == "error" and "status of 4" not in message.text
                else None
            ),
        )
        page.goto(f"{desk.url}/console/login")
        page.fill("#key", desk.people[who])
        page.click("text=Sign in >> nth=-1")
        page.wait_for_url(lambda url: not url.endswith("/login"))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
