"""An agent that writes whatever it likes changes nothing; the live feed, also under load."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from urllib.parse import quote

from desk import Desk, SignIn
from playwright.sync_api import Page, expect

from remit.console import showing

IMAGE = '<script>window.hurt=1</script><img src=x onerror="window.hurt=2">'
MARKUP = f"{IMAGE}<style>*{{display:none}}</style>"
BREAKOUT = "\"'></td></tr></table></script><h1 id=hurt>gone</h1>{{ 7*7 }}{% raw %}<!--"
REORDER = "\u202egnp.exe\u202c \u2066hidden\u2069 zero\u200bwidth \U000e0041tag"
ANSI = "\x1b[2J\x1b[31mred\x07\x00bell"
LONG = "A" * 100_000 + "<b>end</b>"
HOSTILE = f"{MARKUP}{BREAKOUT}{REORDER}{ANSI}"
SSE = "line\ndata: <script>window.hurt=3</script>\n\nevent: decisions\ndata: x"


def unharmed(page: Page) -> None:
    """The page is as the console made it."""
    assert page.evaluate("window.hurt") is None
    assert page.locator("#hurt").count() == 0
    assert page.locator("main script, main style, main img, main iframe, main h1 h1").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('main h1')).display") != "none"
    text = page.locator("body").inner_text()
    for character in "\u202e\u2066\u200b\x1b\x00\x07\U000e0041":
        assert character not in text, hex(ord(character))
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 1, "the page is wider than the window"


def test_nothing_that_an_agent_writes_becomes_markup_anywhere(own_desk: Desk, sign_in: SignIn):
    desk = own_desk
    session = desk.session(intent=HOSTILE, user="boss")
    decided = [
        desk.call(session, "db.query", query=HOSTILE),
        desk.call(session, "db.query", query=LONG),
        desk.call(session, "web.fetch", result={HOSTILE: LONG}, **{HOSTILE[:60]: HOSTILE}),
        desk.call(session, HOSTILE[:150], query="x"),
        desk.call(session, "send_email", to=HOSTILE, subject=SSE, body=LONG),
        desk.call(session, "send_email", to=SSE, subject=HOSTILE, body={"deep": [HOSTILE, LONG]}),
    ]
    child = desk.session("report-bot", parent=session, intent=SSE)
    decided.append(desk.call(child, "report.read", name=HOSTILE, result=HOSTILE))
    held = [each.approval for each in decided if each.approval]
    assert len(held) == 2
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/agents")
    page.fill("form[action$=stops] [name=value]", "<b id=hurt>x")
    page.fill("form[action$=stops] [name=reason]", MARKUP)
    page.click("form[action$=stops] button")
    paths = ["live", "approvals", "policy", "costs", "costs?by=tool", "agents", "audit", "health"]
    paths += [f"decisions/{each.position}" for each in decided]
    paths += [f"audit/records/{each.position}" for each in decided]
    paths += [f"approvals/{each}" for each in held]
    paths += [
        f"sessions/{session.id}",
        f"audit?text={quote(MARKUP)}",
        f"live?tool={quote(BREAKOUT)}",
    ]
    for path in paths:
        page.goto(f"{desk.url}/console/{path}")
        expect(page.locator("main h1")).to_be_visible()
        unharmed(page)
    page.set_viewport_size({"width": 390, "height": 800})
    for path in ("live", f"approvals/{held[0]}", f"decisions/{decided[0].position}"):
        page.goto(f"{desk.url}/console/{path}")
        unharmed(page)


def test_nothing_hostile_comes_through_the_stream(own_desk: Desk, sign_in: SignIn):
    session = own_desk.session()
    own_desk.call(session, "db.query", query="SELECT 1")
    page = sign_in(own_desk)
    page.goto(f"{own_desk.url}/console/live")
    page.wait_for_timeout(400)
    for text in (HOSTILE, SSE, LONG):
        own_desk.call(session, "db.query", query=text)
        own_desk.call(session, text[:150], query="x")
    expect(page.locator("#rows tr")).to_have_count(7)
    unharmed(page)


def test_a_naive_page_would_have_been_hurt(browser, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The check itself can fail: the same text put into a page as it is does harm."""
    page = browser.new_page()
    page.goto("about:blank")
    page.set_content(f"<main><h1>x</h1>{IMAGE}</main>")
    page.wait_for_function("window.hurt === 2")
    page.close()


def test_all_of_a_long_value_can_be_seen(desk: Desk, sign_in: SignIn):
    session = desk.session()
    held = desk.call(session, "send_email", to="x@y.example", subject="s", body=LONG).approval
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/approvals/{held}")
    page.click("text=Show all 100,010 characters")
    rest = page.locator("details[open] pre.value")
    expect(rest).to_be_visible()
    assert rest.inner_text().endswith("<b>end</b>")


def test_every_character_that_hides_is_shown():
    assert showing.plain("a\u202eb\x1b\ud800\n\tc") == "a\\u{202e}b\\u{1b}\\u{d800}\n\tc"
    assert showing.plain("Grüße, 世界 👋🏽") == "Grüße, 世界 👋🏽"
    assert showing.line("a\nb" + "c" * 300, 10) == "a⏎bccccccc…"
    cut = showing.cut("x" * 3000)
    assert (len(cut.head), len(cut.rest), cut.length) == (2000, 1000, 3000)
    assert showing.preview({"query": "SELECT 1", "n": 2}) == "query: SELECT 1, n: 2"
    assert showing.span(0.5e9) == "500 ms"
    assert showing.span(7_500e9) == "2 h 5 min"
    assert showing.dollars(1_500_000_000) == "$1.50"
    assert showing.dollars(40_000) == "$0.00004"


def test_the_feed_stays_bounded_at_two_hundred_decisions_a_second(own_desk: Desk, sign_in: SignIn):
    desk = own_desk
    session = desk.session()
    desk.call(session, "db.query", query="SELECT 0")
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/live")
    rows, heap = "document.getElementById('rows').rows.length", "performance.memory.usedJSHeapSize"
    client = page.context.new_cdp_session(page)

    def settled() -> float:
        client.send("HeapProfiler.collectGarbage")
        return page.evaluate(heap) / 1e6

    made, stop = [0], threading.Event()

    def work() -> None:
        begun = time.monotonic()
        while not stop.is_set():
            desk.call(session, "db.query", query=f"SELECT {made[0]} -- {'x' * 200}")
            made[0] += 1
            ahead = made[0] / 200 - (time.monotonic() - begun)
            time.sleep(max(0.0, ahead))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        expect(page.locator("#rows tr").nth(198)).to_be_attached(timeout=60_000)
        first, most, before = settled(), 0, made[0]
        deadline = time.monotonic() + 60  # a busy machine takes its time
        while made[0] < before + 1_000 and time.monotonic() < deadline:
            page.wait_for_timeout(250)
            most = max(most, page.evaluate(rows))
        last = settled()
    finally:
        stop.set()
        thread.join(10)
    assert made[0] > 400
    assert most <= 200 + 60
    nodes = page.evaluate("document.getElementsByTagName('*').length")
    assert nodes < 200 * 20 + 400
    assert last < first + 6, f"the heap grew from {first:.1f} to {last:.1f} MB"
    # It still follows: the newest decision is on top.
    desk.call(session, "db.query", query="SELECT 'the very last'")
    expect(page.locator("#rows tr").first).to_contain_text("the very last")


def test_a_feed_that_is_paused_stands_still_and_then_goes_on(desk: Desk, sign_in: SignIn):
    session = desk.session()
    desk.call(session, "db.query", query="SELECT 'before'")
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/live")
    page.wait_for_timeout(300)
    page.click("#pause")
    desk.call(session, "db.query", query="SELECT 'meanwhile'")
    expect(page.locator("#state")).to_contain_text("paused, 1 new")
    expect(page.locator("#rows")).not_to_contain_text("meanwhile")
    page.click("#pause")
    expect(page.locator("#rows")).to_contain_text("meanwhile")


def test_filters_hold_for_what_comes_too(desk: Desk, sign_in: SignIn):
    session = desk.session()
    desk.call(session, "db.query", query="DROP TABLE a")
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/live")
    page.select_option("[name=effect]", "deny")
    page.fill("[name=agent]", "INVENTORY")
    page.click("text=Filter")
    page.wait_for_url("**effect=deny**")
    page.wait_for_timeout(400)
    desk.call(session, "db.query", query="SELECT 'allowed'")
    desk.call(session, "db.query", query="DROP TABLE b")
    expect(page.locator("#rows")).to_contain_text("DROP TABLE b")
    expect(page.locator("#rows")).not_to_contain_text("allowed")


def test_with_no_agent_the_first_page_shows_three_ways_with_url_and_key(
    own_desk: Desk, sign_in: SignIn
):
    page = sign_in(own_desk)
    expect(page.locator("h1")).to_have_text("Connect the first agent")
    expect(page.locator(".ways section")).to_have_count(3)
    expect(page.locator(".ways")).to_contain_text(f'Guard.connect("{own_desk.url}"')
    page.fill("[name=principal]", "report-bot")
    page.click("text=Make the key")
    key = page.locator("#key").inner_text()
    ways = page.locator(".ways").inner_text()
    assert ways.count(key) == 4
    assert ways.count(own_desk.url) == 4
    # The first way, as it is written there, works.
    example = page.locator(".ways pre").first.inner_text()
    names: dict[str, object] = {}
    text = example.replace(": ...", ":\n    return []")
    exec(text.replace('name="db.query"', 'name="report.read"').replace("sql", "name"), names)
    page.goto(f"{own_desk.url}/console/live")
    expect(page.locator("#rows")).to_contain_text("report.read")


def test_a_tree_shows_who_delegated_to_whom_and_labels_as_they_came(desk: Desk, sign_in: SignIn):
    top = desk.session(intent="Count the chairs", user="boss")
    desk.call(top, "db.query", query="SELECT 1")
    desk.call(top, "web.fetch", url="https://a.example")
    below = desk.session("report-bot", parent=top, intent="Report")
    desk.call(below, "report.read", name="q3")
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/sessions/{below.id}")
    branches = page.locator(".branch")
    expect(branches).to_have_count(2)
    expect(branches.nth(0)).to_contain_text("Count the chairs")
    expect(branches.nth(1)).to_contain_text("report.read")
    expect(branches.nth(0)).to_contain_text("untrusted")
    expect(branches.nth(0)).to_contain_text("web.fetch")
