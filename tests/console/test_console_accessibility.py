"""axe finds nothing serious on any screen, light and dark; and every screen fits a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from desk import Desk, SignIn, desk_config, open_desk
from playwright.sync_api import Browser, Page
from scene import READY, Scene

AXE = Path(__file__).parents[2] / "console-assets" / "node_modules" / "axe-core" / "axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


@pytest.fixture(scope="module")
def scene(desk: Desk) -> Scene:
    return Scene(desk)


def found(page: Page) -> list[str]:
    """What axe calls serious or critical."""
    page.evaluate(AXE.read_text())
    result: dict[str, Any] = page.evaluate("rules => axe.run(document, rules)", RULES)
    assert len(result["passes"]) > 5, "axe did not look"
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0].get('any', [{}])[:1]}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def test_axe_is_satisfied_with_every_screen_light_and_dark(
    desk: Desk, scene: Scene, sign_in: SignIn
):
    page = sign_in(desk)
    wrong: list[str] = []
    for name, path in scene.screens.items():
        page.emulate_media(color_scheme="light")
        page.goto(f"{desk.url}/console/{path}")
        page.wait_for_selector(READY.get(name, "main h1"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            wrong += [f"{name} {scheme}: {each}" for each in found(page)]
    assert not wrong, "\n".join(wrong)


def test_axe_is_satisfied_with_the_doors_and_with_empty_screens(
    browser: Browser, tmp_path: Path, sign_in: SignIn
):
    with open_desk(desk_config(tmp_path)) as desk:
        door = browser.new_context().new_page()
        wrong: list[str] = []
        for path in ("login", "start", "none"):
            door.goto(f"{desk.url}/console/{path}")
            wrong += [f"{path}: {each}" for each in found(door)]
        door.context.close()
        page = sign_in(desk)
        for path in ("live", "approvals", "costs"):
            page.goto(f"{desk.url}/console/{path}")
            wrong += [f"{path}: {each}" for each in found(page)]
            assert page.locator("pre").count() >= 1, f"{path} does not teach"
        assert not wrong, "\n".join(wrong)


def test_axe_would_find_something(browser: Browser):
    page = browser.new_page()
    page.set_content("<html><body><main><img src='x'><button></button></main></body></html>")
    assert len(found(page)) >= 2
    page.close()


def test_every_screen_fits_a_phone(desk: Desk, scene: Scene, sign_in: SignIn):
    page = sign_in(desk, width=375)
    for name, path in scene.screens.items():
        page.goto(f"{desk.url}/console/{path}")
        page.wait_for_selector(READY.get(name, "main h1"))
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 1, name
