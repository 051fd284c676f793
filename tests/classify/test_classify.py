"""What is proposed for tools that nobody here has seen, and that a policy comes of it."""

from __future__ import annotations

import json
import sys

import pytest

from remit import policy
from remit.classify.classes import propose, shape_of
from remit.classify.writing import written
from remit.cli.app import run


def tool(name, description="", annotations=None, **properties):
    shapes = {key: {"type": of} if isinstance(of, str) else of for key, of in properties.items()}
    schema = {"type": "object", "properties": shapes}
    return {"name": name, "description": description, "input_schema": schema,
            "annotations": annotations}  # fmt: skip


@pytest.mark.parametrize(
    ("listed", "does", "controls"),
    [
        (tool("send_message", to="string", body="string"), ["send"], {"who": ["args.to"]}),
        (tool("fetch_page", url="string"), ["read"], {"where": ["args.url"]}),
        (tool("getUser", user_id="string"), ["read"], {}),
        (tool("pay_bill", iban="string", amount="number", date="string"), ["pay"],
         {"who": ["args.iban"], "amount": ["args.amount"], "when": ["args.date"]}),
        (tool("update_order", order_id="string", note="string"), ["pay"],
         {"which": ["args.order_id"]}),
        (tool("remove_member", member="string"), ["delete"], {"who": ["args.member"]}),
        (tool("set_password", password="string"), ["admin"], {"access": ["args.password"]}),
        (tool("run_tests", suite="string"), ["execute"], {"which": ["args.suite"]}),
        (tool("query", "Runs SQL on the shop", statement="string"), ["read", "execute"], {
            "which": ["args.statement"]}),
        (tool("frobnicate", x="string"), ["admin"], {"who": ["args.x"]}),
        (tool("read_feed", "Items are marked as seen.", n="integer"), ["read", "write"], {}),
        (tool("list_x", annotations={"readOnlyHint": False}), ["read", "write"], {}),
        (tool("write_x", annotations={"destructiveHint": True}), ["write", "delete"], {}),
        (tool("create_event", "It emails the participants.", title="string",
              participants="array"), ["write", "send"], {"who": ["args.participants"]}),
        (tool("create_file", filename="string", folder="string", public="boolean"), ["write"],
         {"which": ["args.folder"], "access": ["args.public"]}),
        (tool("add_guest", attendees="array", loud="boolean"), ["write", "send"],
         {"who": ["args.attendees"]}),
        (tool("open_door", code={"anyOf": [{"type": "string"}, {"type": "null"}]},
              person={"type": "string", "description": "Username"}), ["read"], {}),
        (tool("merge_pull_request", owner="string", pull_number="integer"), ["write"],
         {"who": ["args.owner"], "which": ["args.pull_number"]}),
        (tool("list_rows", page_number="integer"), ["read"], {}),
        (tool("edit_text", line_number="integer"), ["write"], {}),
        (tool("create_or_update_file", path="string", content="string"), ["write"],
         {"which": ["args.path"]}),
        (tool("add_issue_comment", issue_number="integer", body="string"), ["write", "send"],
         {"which": ["args.issue_number"]}),
        (tool("create_message_draft", body="string"), ["write"], {}),
        (tool("reply_to_thread", thread_ts="string", text="string"), ["send"],
         {"which": ["args.thread_ts"]}),
        (tool("move_file", source="string", destination="string"), ["write"],
         {"which": ["args.source"], "where": ["args.destination"]}),
        (tool("book_flight", flight_number="string", payment_method="string"), ["pay"],
         {"which": ["args.flight_number", "args.payment_method"]}),
        (tool("place_order", symbol="string", quantity="integer"), ["pay"],
         {"which": ["args.symbol"], "amount": ["args.quantity"]}),
        (tool("browser_navigate", url="string"), ["read"], {"where": ["args.url"]}),
        (tool("rename_thing", label={"type": "string", "description": "The id of it"}), ["write"],
         {"which": ["args.label"]}),
    ],
)  # fmt: skip
def test_what_is_proposed(listed, does, controls):
    found = propose(shape_of(listed))
    assert (found.does, found.controls) == (does, controls), found.reasons
    assert found.reasons


def test_what_is_known_of_results():
    assert propose(shape_of(tool("get_current_day"))).returns == []
    assert propose(shape_of(tool("get_balance"))).returns == ["confidential"]
    assert propose(shape_of(tool("web_search"))).returns == ["untrusted"]
    mail = propose(shape_of(tool("search_emails")))
    assert mail.returns == ["untrusted", "confidential"]
    assert "sender" in mail.claims
    assert propose(shape_of(tool("read_note", key="string"))).resource == ["args.key"]
    odd = propose(shape_of(tool("write_x", annotations={"readOnlyHint": True})))
    assert odd.unsure


def test_what_is_no_tool_is_refused():
    for listed in ({}, {"name": ""}, {"name": "x", "input_schema": [1]}):
        with pytest.raises(ValueError, match="a tool has a name"):
            shape_of(listed)


def test_the_proposal_is_a_policy_that_loads(tmp_path, capsys):
    tools = [tool("send_message", to="string"), tool("frobnicate", x="string"), tool("get_x")]
    listed, out = tmp_path / "tools.json", tmp_path / "remit.yaml"
    listed.write_text(json.dumps({"tools": tools}))
    assert run(["classify", "--tools", str(listed), "-o", str(out)]) == 1
    assert "1 marked REVIEW" in capsys.readouterr().out
    policies = policy.load({"remit.yaml": out.read_text()})
    assert policies.tracks
    assert {each.pattern for each in policies.tools} == {"send_message", "frobnicate", "get_x"}
    run(["classify", "--tools", str(listed)])
    assert capsys.readouterr().out == out.read_text()
    run(["classify", "--tools", str(listed), "--json"])
    assert json.loads(capsys.readouterr().out)[1]["unsure"] is True
    assert "rules:" not in written([], "")
    told = written([propose(shape_of({"name": "get_current_day"}))], "")
    assert "returns" not in told


def test_a_file_that_holds_no_tools_is_told(tmp_path, capsys):
    for text in ("[1]", "{", '{"tools": 3}'):
        (tmp_path / "x.json").write_text(text)
        assert run(["classify", "--tools", str(tmp_path / "x.json")]) == 2
        assert "is no list of tools" in capsys.readouterr().err


SERVER = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("s")
@server.tool(description="Send an email")
def send_email(to: str, body: str) -> str:
    return to
@server.tool(description="Odd")
def frobnicate(x: str) -> str:
    return x
server.run("stdio")
"""


def test_the_tools_are_asked_of_an_mcp_server(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.py").write_text(SERVER)
    command = [sys.executable, "server.py"]
    assert run(["classify", "--mcp", "mail", "--pack", "payments", "--", *command]) == 1
    told = capsys.readouterr().out
    policies = policy.load({"remit.yaml": told})
    assert {each.pattern for each in policies.tools} == {"mail.send_email", "mail.frobnicate"}
    assert [each.value for each in policies.tool("mail.send_email").does] == ["send"]
    assert "by_itself" in policies.constants
    quoted = ", ".join(json.dumps(word) for word in command)
    (tmp_path / "remit.toml").write_text(
        f'[[mcp]]\nname = "mail"\ncommand = [{quoted}]\n'
        '[[mcp]]\nname = "far"\nurl = "https://mcp.corp.example/mcp"\n'
    )
    assert run(["classify", "--mcp", "mail", "--no-rules", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == ["mail.send_email", "mail.frobnicate"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Say where the tools are"),
        (["--mcp", "x", "--tools", "remit.toml"], "Say where the tools are"),
        (["--tools", "remit.toml", "--", "serve"], "Say where the tools are"),
        (["--mcp", "far"], "is reached at a URL"),
        (["--mcp", "nobody"], "there is no MCP server 'nobody'"),
        (["--mcp", "dead", "--", "false"], "could not be asked for its tools"),
        (["--mcp", "Bad Name", "--", "false"], "write lower-case letters"),
    ],
)
def test_a_server_that_cannot_be_asked_is_told(tmp_path, capsys, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "remit.toml").write_text(
        '[[mcp]]\nname = "far"\nurl = "https://mcp.corp.example"\n'
    )
    assert run(["classify", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_client_of_this_person_may_have_the_server(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "server.py").write_text(SERVER)
    entry = {"command": sys.executable, "args": [str(tmp_path / "server.py")]}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": {"mail": entry}}))
    assert run(["classify", "--mcp", "mail"]) == 1
    assert "mail.send_email" in capsys.readouterr().out
