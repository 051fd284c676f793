"""People in the browser, agents through the SDK, one real server between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from desk import Desk, SignIn
from playwright.sync_api import Page, expect

from remit import ApprovalRequired, Denied, Guard
from remit.approvals import ApprovalState
from remit.audit.record import parse_record
from remit.credentials import Right
from remit.model import ApprovalId

INTENT = "Tell the supplier how many chairs are left"


class ScriptedAgent:
    """An agent that makes one call through the SDK, in a thread of its own."""

    def __init__(self, desk: Desk, work: Callable[[Guard], Any], wait: float = 20.0) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self._desk = desk
        self._work = work
        self._wait = wait
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        key = self._desk.live.keys[Right.AGENT]
        with Guard.connect(self._desk.url, credential=key, wait=self._wait) as guard:
            try:
                self.result = self._work(guard)
            except Exception as error:
                self.error = error

    def done(self) -> ScriptedAgent:
        self._thread.join(25)
        assert not self._thread.is_alive()
        return self


def mail(to: str, subject: str = "chairs") -> Callable[[Guard], Any]:
    def work(guard: Guard) -> Any:
        sent = []

        @guard.tool(name="send_email")
        def send_email(to: str, subject: str) -> str:
            sent.append(to)
            return f"sent to {to}"

        with guard.session(agent="inventory-bot", intent=INTENT):
            return send_email(to=to, subject=subject), sent

    return work


def waiting(desk: Desk, tool: str, count: int = 1) -> list[ApprovalId]:
    """The ids of pending approvals of a tool, once there are that many."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = desk.parts.store.read(lambda view: view.approvals((ApprovalState.PENDING,), 100))
        ids = [each.id for each in found if each.tool == tool]
        if len(ids) >= count:
            return ids
        time.sleep(0.02)
    raise AssertionError("nothing is held")


def open_approval(page: Page, desk: Desk, approval: ApprovalId) -> None:
    page.goto(f"{desk.url}/console/approvals/{approval}")


def test_a_held_call_goes_through_once_a_reviewer_approves_it(own_desk: Desk, sign_in: SignIn):
    agent = ScriptedAgent(own_desk, mail("eve@supplier.example"))
    (held,) = waiting(own_desk, "send_email")
    page = sign_in(own_desk, "grace")
    expect(page.locator("h1")).to_have_text("Approvals")
    expect(page.locator("article")).to_contain_text("eve@supplier.example")
    expect(page.locator("article")).to_contain_text(INTENT)
    expect(page.locator("#covers")).to_contain_text("exactly this call, once")
    page.click("#approve")
    expect(page.locator(".notice.good")).to_contain_text("Approved")
    agent.done()
    assert agent.error is None
    assert agent.result == ("sent to eve@supplier.example", ["eve@supplier.example"])
    used = own_desk.parts.store.read(lambda view: view.approval(held))
    assert used is not None
    assert used.state is ApprovalState.USED
    assert [vote.by.id for vote in used.votes] == ["grace"]


def test_the_reason_of_a_no_reaches_the_agent(desk: Desk, sign_in: SignIn):
    agent = ScriptedAgent(desk, mail("eve@elsewhere.example"))
    (held,) = waiting(desk, "send_email")
    page = sign_in(desk, "grace")
    open_approval(page, desk, held)
    page.fill("#reason", "Use the address in the contract.")
    page.click("#reject")
    expect(page.locator(".notice.good")).to_contain_text("Rejected")
    agent.done()
    assert isinstance(agent.error, Denied)
    assert "Use the address in the contract." in str(agent.error)


def test_the_keyboard_alone_completes_an_approval(desk: Desk, sign_in: SignIn):
    agents = [ScriptedAgent(desk, mail(f"{name}@keys.example")) for name in ("a", "b")]
    first, second = waiting(desk, "send_email", 2)
    page = sign_in(desk, "grace")
    open_approval(page, desk, first)
    page.keyboard.press("j")
    page.wait_for_url(f"**/approvals/{second}")
    for approval in (second, first):
        open_approval(page, desk, approval)
        page.keyboard.press("a")
        expect(page.locator("#approve")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".notice.good")).to_contain_text("Approved")
    for agent in agents:
        assert agent.done().error is None


def test_without_any_shortcut_tab_reaches_the_answer(desk: Desk, sign_in: SignIn):
    session = desk.session()
    held = desk.call(session, "send_email", to="tab@keys.example", subject="x").approval
    page = sign_in(desk, "grace")
    open_approval(page, desk, held)  # type: ignore[arg-type]
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "approve":
            break
    expect(page.locator("#approve")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".notice.good")).to_contain_text("Approved")


def test_a_payment_takes_two_people_and_nobody_counts_twice(desk: Desk, sign_in: SignIn):
    def pay(guard: Guard) -> Any:
        @guard.tool(name="pay")
        def pay(amount: int) -> str:
            return f"paid {amount}"

        with guard.session(agent="inventory-bot"):
            return pay(amount=20)

    agent = ScriptedAgent(desk, pay)
    (held,) = waiting(desk, "pay")
    grace, ada = sign_in(desk, "grace"), sign_in(desk, "ada")
    open_approval(grace, desk, held)
    expect(grace.locator(".facts").first).to_contain_text("2 people of security-team")
    grace.click("#approve")
    expect(grace.locator(".notice.good")).to_contain_text("It takes another person")
    assert waiting(desk, "pay") == [held]
    grace.click("#approve")
    expect(grace.locator(".notice.bad")).to_contain_text("another person must")
    open_approval(ada, desk, held)
    expect(ada.locator(".facts").first).to_contain_text("grace")
    ada.click("#approve")
    expect(ada.locator(".notice.good")).to_contain_text("Approved")
    assert agent.done().result == "paid 20"


def test_nobody_approves_what_is_done_on_their_own_behalf(desk: Desk, sign_in: SignIn):
    session = desk.session(user="grace")
    held = desk.call(session, "send_email", to="x@own.example", subject="x").approval
    page = sign_in(desk, "grace")
    open_approval(page, desk, held)  # type: ignore[arg-type]
    expect(page.locator("article")).to_contain_text("You are part of this request")
    page.click("#approve")
    expect(page.locator(".notice.bad")).to_contain_text("cannot approve it")
    approval = desk.parts.store.read(lambda view: view.approval(held))  # type: ignore[arg-type]
    assert approval is not None
    assert approval.state is ApprovalState.PENDING


def test_only_calls_of_identical_shape_are_decided_together(own_desk: Desk, sign_in: SignIn):
    session = own_desk.session()
    alike = [
        own_desk.call(session, "send_email", to=f"{name}@batch.example", subject="x").approval
        for name in "abc"
    ]
    other = own_desk.call(session, "send_email", to="d@batch.example", subject="x", cc=["e"])
    page = sign_in(own_desk, "ada")
    open_approval(page, own_desk, alike[0])  # type: ignore[arg-type]
    boxes = page.locator("input[name=also]")
    expect(boxes).to_have_count(2)
    boxes.nth(0).check()
    # A form that was tampered with gets nowhere.
    page.eval_on_selector_all(
        "input[name=also]", f"boxes => {{ boxes[1].value = '{other.approval}'; }}"
    )
    boxes.nth(1).check()
    page.click("#approve")
    expect(page.locator("main")).to_contain_text("identical shape")
    open_approval(page, own_desk, alike[0])  # type: ignore[arg-type]
    for number in range(2):
        page.locator("input[name=also]").nth(number).check()
    page.click("#approve")
    expect(page.locator(".notice.good")).to_be_visible()
    states = own_desk.parts.store.read(
        lambda view: [view.approval(each).state for each in (*alike, other.approval)]  # type: ignore
    )
    assert states == [ApprovalState.APPROVED] * 3 + [ApprovalState.PENDING]


def test_a_yes_to_calls_like_it_shows_what_it_covers_and_covers_that(
    own_desk: Desk, sign_in: SignIn
):
    session = own_desk.session()
    for name in ("a", "b"):
        own_desk.call(session, "send_email", to=f"{name}@corp.com", subject="chairs")
    held = own_desk.call(session, "send_email", to="c@supplier.example", subject="chairs").approval
    page = sign_in(own_desk, "grace")
    open_approval(page, own_desk, held)  # type: ignore[arg-type]
    page.click("text=More than this one call")
    page.check("input[value=session]")
    expect(page.locator("#wide")).to_contain_text("exactly these arguments")
    expect(page.locator("#matches")).to_contain_text("1 of the 3 newest calls")
    page.locator("label", has_text="to").locator("input[name=patterns]").fill("*@corp.com")
    expect(page.locator("#matches")).to_contain_text("2 of the 3 newest calls")
    page.locator("label", has_text="to").locator("input[name=patterns]").fill("*.example")
    expect(page.locator("#wide")).to_contain_text("like *.example")
    expect(page.locator("#matches")).to_contain_text("1 of the 3 newest calls")
    page.click("#approve")
    expect(page.locator(".notice.good")).to_contain_text("Approved")
    expect(page.locator("form[action*=standing]")).to_contain_text("*.example")
    like = {"to": "d@supplier.example", "subject": "chairs"}
    assert own_desk.call(session, "send_email", **like).granted
    assert not own_desk.call(session, "send_email", to="d@x.example", subject="else").granted
    assert not own_desk.call(own_desk.session(), "send_email", **like).granted
    page.click("text=Take back")
    expect(page.locator("form[action*=standing]")).to_have_count(0)
    assert not own_desk.call(session, "send_email", to="e@x.example", subject="chairs").granted


def test_the_stop_switch_holds_for_the_next_call_and_shows_where(own_desk: Desk, sign_in: SignIn):
    page = sign_in(own_desk)
    page.goto(f"{own_desk.url}/console/agents")
    page.fill("form[action$=stops] [name=value]", "inventory-bot")
    page.fill("form[action$=stops] [name=reason]", "deletes what it should count")
    page.click("form[action$=stops] button")
    expect(page.locator(".warnings")).to_contain_text("Stopped by ada")
    expect(page.locator(".card .notice.bad")).to_contain_text("No call came since")
    agent = ScriptedAgent(own_desk, mail("boss@corp.com")).done()
    assert isinstance(agent.error, Denied)
    assert "deletes what it should count" in str(agent.error)
    page.reload()
    seen = page.locator(".card .notice.bad")
    expect(seen).to_contain_text("Seen to hold at: inventory-bot after")
    page.click("text=Let it go on")
    expect(page.locator(".warnings")).to_have_count(0)
    assert ScriptedAgent(own_desk, mail("boss@corp.com")).done().error is None


def test_a_faulty_draft_is_shown_at_its_line_and_not_published(own_desk: Desk, sign_in: SignIn):
    page = sign_in(own_desk, "editor")
    before = own_desk.parts.policies.current.revision
    page.goto(f"{own_desk.url}/console/policy")
    page.wait_for_selector("[data-ready]")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("rulez: []")
    fault = page.locator("#faults .not-ok")
    expect(fault).to_contain_text("unknown key 'rulez'")
    line = int(fault.get_attribute("data-line") or "0")
    expect(fault.locator("b")).to_have_text(f"remit.yaml:{line}:1")
    assert line == own_desk.parts.config.policy.path.read_text().count("\n") + 1
    marker = page.locator(".cm-lint-marker-error")
    expect(marker).to_have_count(1)
    # The mark stands beside the line at fault, not just somewhere.
    numbers = page.locator(".cm-lineNumbers .cm-gutterElement", has_text=str(line))
    assert abs(marker.bounding_box()["y"] - numbers.last.bounding_box()["y"]) < 15  # type: ignore
    page.click("#publish")
    expect(page.locator(".notice.bad")).to_contain_text("Not published")
    assert own_desk.parts.policies.current.revision == before


def test_a_draft_is_tried_compared_published_and_rolled_back(own_desk: Desk, sign_in: SignIn):
    session = own_desk.session()
    for number in range(3):
        own_desk.call(session, "web.fetch", url=f"https://a.example/{number}")
    path = own_desk.parts.config.policy.path
    old = own_desk.parts.policies.current.revision
    page = sign_in(own_desk)
    page.goto(f"{own_desk.url}/console/policy")
    page.wait_for_selector("[data-ready]")
    page.fill("[name=tool]", "db.query")
    page.fill("[name=args]", '{"query": "DROP TABLE chairs"}')
    page.click("#tryit")
    expect(page.locator("#tried")).to_contain_text("no-destructive-sql")
    text = path.read_text()
    rule = '- {id: no-web, tools: ["web.*"], effect: deny, because: Not today.}'
    draft = text.replace("\nrules:\n", f"\nrules:\n  {rule}\n")
    page.locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    for _ in range(text[: text.index("\nrules:")].count("\n") + 1):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type(f"  {rule}")
    expect(page.locator("#text")).to_have_value(draft)
    page.click("text=Effects on recorded traffic")
    expect(page.locator("#effects")).to_contain_text("Newly denied: 3")
    page.fill("[name=reason]", "the supplier's site was taken over")
    page.click("#publish")
    expect(page.locator(".notice.good")).to_contain_text("Published")
    assert path.read_text() == draft
    assert not own_desk.call(session, "web.fetch", url="https://a.example/9").granted
    published = own_desk.parts.store.read(
        lambda view: [
            parse_record(kept.body)
            for kept in view.records(0, view.log_size())
            if b'"kind":"policy"' in kept.body
        ]
    )
    assert [link.id for link in published[-1].principal] == ["ada"]
    assert published[-1].revision == own_desk.parts.policies.current.revision != old
    page.click("text=compare")
    expect(page.locator(".diff .add")).to_contain_text("no-web")
    page.click("text=Roll back to it")
    page.wait_for_selector("[data-ready]")
    page.click("#publish")
    expect(page.locator(".notice.good")).to_contain_text("Published")
    assert own_desk.parts.policies.current.revision == old
    assert own_desk.call(session, "web.fetch", url="https://a.example/9").granted


def test_two_people_who_edit_do_not_overwrite_each_other(own_desk: Desk, sign_in: SignIn):
    page = sign_in(own_desk, "editor")
    page.goto(f"{own_desk.url}/console/policy")
    page.wait_for_selector("[data-ready]")
    path = own_desk.parts.config.policy.path
    path.write_text("# somebody else\n" + path.read_text())
    page.click("#publish")
    expect(page.locator(".notice.bad")).to_contain_text("have changed since you began")
    assert path.read_text().startswith("# somebody else\n")


def test_the_browser_itself_checks_that_a_record_is_in_the_log(own_desk: Desk, sign_in: SignIn):
    session = own_desk.session()
    decided = [own_desk.call(session, "db.query", query=f"SELECT {n}") for n in range(9)]
    page = sign_in(own_desk)
    for number, each in enumerate(decided):
        page.goto(f"{own_desk.url}/console/decisions/{each.position}")
        if number % 4 == 0:
            page.click("#verify")
            expect(page.locator("#verdict")).to_have_attribute("data-verified", "true")
    # What the browser is told is not believed: any part that does not fit shows.
    for part in ("record", "proof", "checkpoint", "vkey"):
        page.route("**/proof", lambda route, part=part: _altered(route, part))
        page.click("#verify")
        expect(page.locator("#verdict")).to_have_attribute("data-verified", "false")
        page.unroute("**/proof")


def _altered(route: Any, part: str) -> None:
    answer = route.fetch()
    body = answer.json()
    if part == "record":
        body["record"] = "AAAA" + body["record"][4:]
    elif part == "proof":
        body["proof"][0] = body["proof"][0][::-1][1:] + "="
    elif part == "checkpoint":
        lines = body["checkpoint"].split("\n")
        lines[0] += "x"
        body["checkpoint"] = "\n".join(lines)
    else:
        body["vkey"] = body["vkey"][:-8] + "AAAAAAA="
    route.fulfill(response=answer, json=body)


def test_an_approval_is_not_there_for_whoever_may_not_review(desk: Desk, sign_in: SignIn):
    session = desk.session()
    held = desk.call(session, "send_email", to="view@only.example", subject="x").approval
    page = sign_in(desk, "viewer")
    open_approval(page, desk, held)  # type: ignore[arg-type]
    expect(page.locator("article")).to_contain_text("view@only.example")
    expect(page.locator("#approve")).to_have_count(0)


def test_who_waits_no_longer_gets_a_handle(desk: Desk, sign_in: SignIn):
    agent = ScriptedAgent(desk, mail("late@late.example"), wait=0.0).done()
    assert isinstance(agent.error, ApprovalRequired)


@pytest.mark.parametrize("unit", ["usd", "calls"])
def test_charts_are_drawn(desk: Desk, sign_in: SignIn, unit: str):
    session = desk.session()
    for number in range(4):
        desk.call(session, "db.query", query=f"SELECT {number}", usd=40_000_000)
    page = sign_in(desk)
    page.goto(f"{desk.url}/console/costs?what={unit}&days=3")
    page.wait_for_selector("#chart[data-drawn]")
    colours = page.evaluate(
        """() => {
          const canvas = document.querySelector("#chart canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const counts = {};
          for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] > 200) {
              const key = [data[at], data[at + 1], data[at + 2]].join();
              counts[key] = (counts[key] || 0) + 1;
            }
          }
          return { counts, whole: canvas.width * canvas.height };
        }"""
    )
    bar = colours["counts"].get("23,133,123", 0)  # the first colour of the chart
    assert bar > colours["whole"] * 0.02, "no bar was drawn"
    assert bar < colours["whole"] * 0.6
    expect(page.locator("#legend")).to_contain_text("inventory-bot")
    expect(page.locator("rect.spent").first).to_be_visible()
