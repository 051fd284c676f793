"""Who gets in, with what, and what other sites cannot do. No browser: requests as they come."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from desk import Desk, desk_config, open_desk

from remit.console.visitors import COOKIE
from remit.credentials import Right

EVERYBODY = "everybody"
AUDITOR, REVIEWER, EDITOR, ADMIN = "auditor", "reviewer", "editor", "admin"
PEOPLE = f"{AUDITOR} {REVIEWER} {EDITOR} {ADMIN}"

MATRIX = {
    "GET /console/": EVERYBODY,
    "GET /console/login": EVERYBODY,
    "POST /console/login": EVERYBODY,
    "GET /console/start": EVERYBODY,
    "POST /console/start": EVERYBODY,
    "POST /console/logout": EVERYBODY,
    "GET /console/static/{rest...}": EVERYBODY,
    "GET /console/live": AUDITOR,
    "GET /console/live/stream": AUDITOR,
    "GET /console/sessions/{id}": f"{AUDITOR} {REVIEWER}",
    "GET /console/decisions/{position}": f"{AUDITOR} {REVIEWER}",
    "GET /console/decisions/{position}/proof": AUDITOR,
    "GET /console/approvals": f"{AUDITOR} {REVIEWER}",
    "GET /console/approvals/{id}": f"{AUDITOR} {REVIEWER}",
    "POST /console/approvals/{id}/approve": REVIEWER,
    "POST /console/approvals/{id}/reject": REVIEWER,
    "POST /console/approvals/{id}/withdraw": REVIEWER,
    "POST /console/approvals/{id}/covers": REVIEWER,
    "POST /console/standing/{id}/end": REVIEWER,
    "GET /console/policy": PEOPLE,
    "GET /console/policy/revisions/{revision}": PEOPLE,
    "POST /console/policy/check": PEOPLE,
    "POST /console/policy/test": PEOPLE,
    "POST /console/policy/effects": f"{AUDITOR} {EDITOR}",
    "POST /console/policy/publish": EDITOR,
    "GET /console/costs": f"{AUDITOR} {ADMIN}",
    "GET /console/costs/chart": f"{AUDITOR} {ADMIN}",
    "GET /console/agents": f"{AUDITOR} {ADMIN}",
    "GET /console/agents/{id}": f"{AUDITOR} {ADMIN}",
    "POST /console/agents/keys": ADMIN,
    "POST /console/agents/keys/{id}/revoke": ADMIN,
    "POST /console/stops": ADMIN,
    "POST /console/stops/{id}/resume": ADMIN,
    "GET /console/audit": AUDITOR,
    "GET /console/audit/records/{position}": AUDITOR,
    "GET /console/audit/receipts/{position}": AUDITOR,
    "GET /console/audit/export": AUDITOR,
    "GET /console/audit/evidence": AUDITOR,
    "GET /console/health": PEOPLE,
}
"""Who may, by page or form."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(desk_config(tmp_path_factory.mktemp("access"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def visitors(desk: Desk) -> dict[Right, requests.Session]:
    """One person for each right, signed in."""
    people = [right for right in Right if right is not Right.AGENT]
    return {right: signed_in(desk, desk.live.keys[right]) for right in people}


def signed_in(desk: Desk, key: str) -> requests.Session:
    session = requests.Session()
    answer = send(session, desk, "POST /console/login", {"key": key})
    assert answer.status_code == 303, answer.text
    return session


def send(
    session: requests.Session,
    desk: Desk,
    row: str,
    data: dict[str, Any] | None = None,
    **headers: str,
) -> requests.Response:
    method, path = row.split(" ")
    url = desk.url + re.sub(r"\{[^}]+\}", "none", path)
    if method == "POST" and not headers:
        headers = {"Origin": desk.url, "Sec-Fetch-Site": "same-origin"}
    return session.request(
        method,
        url,
        data=(data or {"x": ""}) if method == "POST" else None,
        headers=headers,
        allow_redirects=False,
        stream=True,
        timeout=10,
    )


def test_every_page_has_a_row_and_every_row_a_page(desk: Desk):
    assert {f"{route.method} {route.path}" for route in desk.mount.routes} == MATRIX.keys()


@pytest.mark.parametrize("row", [row for row, who in MATRIX.items() if who != EVERYBODY])
def test_every_right(desk: Desk, visitors: dict[Right, requests.Session], row: str):
    for right, session in visitors.items():
        with send(session, desk, row) as answer:
            if right.value in MATRIX[row].split():
                assert answer.status_code not in (303, 401, 403, 500), right
            else:
                assert answer.status_code == 403, right
                assert "takes the right" in answer.text


@pytest.mark.parametrize("row", [row for row, who in MATRIX.items() if who != EVERYBODY])
def test_nobody_gets_in_without_a_good_cookie(desk: Desk, row: str):
    # A key in a header is for the API: a page of another site cannot send it, nor is it asked for.
    bearer = {"Authorization": f"Bearer {desk.people['ada']}"}
    same = {"Origin": desk.url, "Sec-Fetch-Site": "same-origin"}
    for shown in ({}, bearer, {"Cookie": f"{COOKIE}={'0' * 64}"}, {"Cookie": "%%%=;;"}):
        with send(requests.Session(), desk, row, **same, **shown) as answer:
            assert (answer.status_code, answer.headers["Location"]) == (303, "/console/login")


FORMS = [row for row in MATRIX if row.startswith("POST")]
ELSEWHERE = {
    "cross-site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "nothing shown": {"X-Nothing": "1"},
    "null": {"Origin": "null"},
    "both disagree": {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
}


@pytest.mark.parametrize("row", FORMS)
def test_no_form_is_taken_from_another_site(
    desk: Desk, visitors: dict[Right, requests.Session], row: str
):
    session = requests.Session()
    for each in visitors.values():
        session.cookies.update(each.cookies)
    for what, headers in ELSEWHERE.items():
        with send(session, desk, row, **headers) as answer:
            assert answer.status_code == 403, what
            assert "not sent by a page of this server" in answer.text


def test_a_form_from_another_site_changes_nothing_and_the_same_one_from_here_does(desk: Desk):
    session = signed_in(desk, desk.people["ada"])
    form = {"scope": "tool", "value": "web.none", "reason": "x"}
    stops = lambda: [each.value for each in desk.parts.store.read(lambda view: view.stops())]  # noqa: E731
    send(session, desk, "POST /console/stops", form, **ELSEWHERE["cross-site"])
    assert "web.none" not in stops()
    assert send(session, desk, "POST /console/stops", form).status_code == 303
    assert "web.none" in stops()


@pytest.mark.parametrize("path", ["/console/login", "/console/live", "/console/none"])
def test_every_page_has_the_headers(desk: Desk, path: str):
    session = signed_in(desk, desk.people["ada"])
    headers = session.get(desk.url + path, allow_redirects=False).headers
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers


def test_templates_have_nothing_inline():
    folder = Path(__file__).parents[2] / "src" / "remit" / "console" / "templates"
    for path in folder.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", text), path
        assert "|safe" not in text.replace(" ", ""), path
        assert "autoescape" not in text, path


def test_a_cookie_is_kept_from_scripts_and_is_worth_nothing_after_signing_out(desk: Desk):
    answer = send(requests.Session(), desk, "POST /console/login", {"key": desk.people["ada"]})
    shown = answer.headers["Set-Cookie"]
    assert "HttpOnly" in shown
    assert "SameSite=Lax" in shown
    assert "Secure" not in shown  # over plain HTTP on this machine the browser would drop it
    session = requests.Session()
    session.cookies.set(COOKIE, shown.split("=", 1)[1].split(";")[0])
    assert session.get(f"{desk.url}/console/live").url.endswith("/live")
    kept = dict(session.cookies)
    send(session, desk, "POST /console/logout")
    assert requests.get(f"{desk.url}/console/live", cookies=kept).url.endswith("/login")


def test_behind_tls_the_cookie_is_bound_to_the_host(tmp_path: Path):
    text = (
        '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\npublic_url = "https://remit.corp.com"\n'
    )
    with open_desk(desk_config(tmp_path, text=text)) as desk:
        same = {"Origin": "https://remit.corp.com", "Sec-Fetch-Site": "same-origin"}
        key = {"key": desk.people["ada"]}
        answer = send(requests.Session(), desk, "POST /console/login", key, **same)
        assert answer.headers["Set-Cookie"].startswith("__Host-remit_console=")
        assert answer.headers["Set-Cookie"].endswith("; Secure")
        assert send(requests.Session(), desk, "POST /console/login", key).status_code == 403


def test_a_revoked_key_ends_what_it_opened(desk: Desk):
    key = desk.key("leaver", frozenset({Right.AUDITOR}))
    session = signed_in(desk, key)
    assert session.get(f"{desk.url}/console/live").url.endswith("/live")
    desk.live.revoke(key)
    assert session.get(f"{desk.url}/console/live").url.endswith("/login")


def test_an_agent_has_no_place_in_the_console(desk: Desk):
    answer = send(
        requests.Session(), desk, "POST /console/login", {"key": desk.live.keys[Right.AGENT]}
    )
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_a_bad_key_says_so_and_is_not_repeated(desk: Desk):
    answer = send(requests.Session(), desk, "POST /console/login", {"key": "remit_x<script>"})
    assert answer.status_code == 401
    assert "not valid" in answer.text or "not one" in answer.text or "token" in answer.text
    assert "remit_x" not in answer.text


def test_the_one_time_link_makes_the_first_admin_once(tmp_path: Path):
    with open_desk(desk_config(tmp_path), people=False) as desk:
        invitation = desk.invitation
        form = {"secret": invitation, "name": "ada"}
        wrong = send(requests.Session(), desk, "POST /console/start", {**form, "secret": "x"})
        assert wrong.status_code == 422
        session = requests.Session()
        welcome = send(session, desk, "POST /console/start", form)
        assert welcome.status_code == 200
        key = re.search(r"remit_[a-z2-7]{16}_[a-z2-7]{52}", welcome.text)
        assert key
        assert session.get(f"{desk.url}/console/").url.endswith("/live")
        signed_in(desk, key[0])
        assert send(requests.Session(), desk, "POST /console/start", form).status_code == 422
        known = desk.parts.store.read(lambda view: list(view.credentials()))
        active = [each for each in known if each.active(time.time_ns()) and each.purpose == "key"]
        assert [(each.principal, len(each.rights)) for each in active] == [("ada", 4)]


def test_a_browser_at_the_root_is_sent_to_the_console_and_a_program_is_not(desk: Desk):
    browser = requests.get(desk.url, headers={"Accept": "text/html,*/*"}, allow_redirects=False)
    assert (browser.status_code, browser.headers["Location"]) == (303, "/console/")
    assert requests.get(desk.url).json()["name"] == "remit"


def test_scripts_are_sent_once(desk: Desk):
    url = f"{desk.url}/console/static/console.js"
    first = requests.get(url)
    assert first.headers["Content-Type"].startswith("text/javascript")
    again = requests.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for path in ("../mount.py", "%2e%2e/mount.py", "..%2fmount.py", "templates/base.html"):
        assert requests.get(f"{desk.url}/console/static/{path}").status_code == 404


def test_the_evidence_pack_is_verified_offline(desk: Desk, tmp_path: Path):
    import subprocess
    import sys
    import zipfile

    desk.call(desk.session(), "db.query", query="SELECT 1")
    session = signed_in(desk, desk.people["viewer"])
    (tmp_path / "pack.zip").write_bytes(
        session.get(f"{desk.url}/console/audit/evidence?values=true").content
    )
    with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
        pack.extractall(tmp_path)
    vkey = (tmp_path / "remit.pub").read_text().strip()
    assert vkey in (tmp_path / "VERIFY.md").read_text()
    verify = [sys.executable, "-m", "remit", "audit", "verify", "remit-export.jsonl"]
    verify += ["--vkey", vkey, "--since", "checkpoint.txt"]
    done = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    export = tmp_path / "remit-export.jsonl"
    export.write_bytes(export.read_bytes().replace(b"SELECT 1", b"SELECT 2", 1))
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True).returncode != 0


def test_the_stream_ends_with_the_server_and_goes_on_where_it_was(desk: Desk):
    session = signed_in(desk, desk.people["viewer"])
    agent = desk.session()
    desk.call(agent, "db.query", query="SELECT 'before'")
    size = desk.parts.store.read(lambda view: view.log_size())
    desk.call(agent, "db.query", query="SELECT 'between'")
    url = f"{desk.url}/console/live/stream?after={size - 1}"
    with session.get(url, stream=True, timeout=10) as stream:
        text = b""
        for part in stream.iter_content(None):
            text += part
            if b"between" in text:
                break
    assert b"event: decisions" in text
    assert b"before" not in text
    assert parse_qs(urlsplit(url).query)["after"] == [str(size - 1)]
