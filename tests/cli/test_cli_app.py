"""The root command: help, exit codes, errors for people and for programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from remit import errors
from remit.cli import app
from remit.cli.app import Exit, root

GOLDEN = Path(__file__).parents[1] / "golden" / "help"


def commands(command=root, path=("remit",)):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_is_as_it_was(path, remit, monkeypatch):
    """Regenerate with REMIT_GOLDEN=write after a wanted change, and read the difference."""
    monkeypatch.setenv("COLUMNS", "100")
    shown = remit(*path[1:], "--help")
    golden = GOLDEN / f"{'-'.join(path)}.txt"
    if os.environ.get("REMIT_GOLDEN") == "write":
        golden.write_text(shown.out)
    assert shown.code == 0
    assert shown.out == golden.read_text()


def test_no_golden_file_is_left_over():
    assert {each.stem for each in GOLDEN.iterdir()} == {"-".join(path) for path in commands()}


def test_the_list_of_commands_says_what_each_command_says():
    context = click.Context(root)
    for name, (_, summary) in app._COMMANDS.items():
        assert root.get_command(context, name).get_short_help_str(200) == summary


def test_every_command_prints_json():
    context = click.Context(root)
    for path in commands():
        command = root
        for name in path[1:]:
            command = command.get_command(context, name)
        if isinstance(command, click.Group):
            continue
        assert any("--json" in option.opts for option in command.params), path


def test_version(remit):
    assert remit("version").out.startswith("remit ")
    assert set(remit("version", "--json").json) == {"remit", "python"}


@pytest.mark.parametrize(
    "arguments", [["nope"], ["init", "--nope"], ["init", "--starter", "nope"], ["explain"]]
)
def test_a_usage_error_is_exit_code_2_and_says_where_help_is(arguments, remit):
    shown = remit(*arguments)
    assert shown.code == Exit.USAGE
    assert "--help" in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("group", [(), ("egress",), ("legacy",), ("mcp",)])
def test_a_group_alone_shows_its_help_and_no_error(group, remit):
    got = remit(*group)
    assert got.code == 2
    assert got.err.count("Usage:") == 1
    assert "error:" not in got.err
    assert "Commands:" in got.err


def test_a_usage_error_for_programs_is_json(remit):
    shown = remit("init", "--nope", "--json")
    assert shown.code == Exit.USAGE
    assert shown.json["error"]["exit"] == 2
    assert shown.err == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.InvalidArgument("args.a", "x"), 2),
        (errors.StoreLocked("x"), 3),
        (errors.StoreTooNew("x"), 3),
        (errors.StoreCorrupt("x"), 1),
        (errors.AuditError("x"), 1),
        (errors.Unavailable("x"), 3),
        (errors.Denied("x"), 4),
        (errors.ApprovalError("x"), 4),
        (errors.ApprovalRequired("x", approval="ap"), 5),
        (OSError(2, "No such file", "a.txt"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_exit_code_and_no_traceback(error, code, remit, monkeypatch):
    @click.command()
    def failing():
        raise error

    monkeypatch.setattr(app.LazyCommands, "get_command", lambda *_: failing)
    shown = remit("failing")
    assert shown.code == code
    assert "Traceback" not in shown.err
    if code != 130:
        assert shown.err.startswith("error: ")


def test_an_error_that_quotes_an_agent_cannot_act_on_the_terminal(remit, monkeypatch):
    @click.command()
    def failing():
        raise errors.Denied("tool \x1b[2J[bold]x")

    monkeypatch.setattr(app.LazyCommands, "get_command", lambda *_: failing)
    assert remit("failing").err == "error: tool \\x1b[2J[bold]x\n"


def test_a_fault_of_our_own_is_not_hidden(remit, monkeypatch):
    @click.command()
    def failing():
        raise ZeroDivisionError

    monkeypatch.setattr(app.LazyCommands, "get_command", lambda *_: failing)
    with pytest.raises(ZeroDivisionError):
        remit("failing")


def test_the_installed_command_and_the_module_are_the_same():
    for command in ([Path(sys.executable).with_name("remit")], [sys.executable, "-m", "remit"]):
        ran = subprocess.run([*command, "version", "--json"], capture_output=True, check=True)
        assert "remit" in json.loads(ran.stdout)


def test_version_imports_nothing_that_only_other_commands_need():
    code = (
        "import sys; from remit.cli.app import run; run(['version']); print([m for m in sys.modules"
        " if m.split('.')[0] in ('rich', 'sqlglot', 'tree_sitter') or m.startswith('remit.cli.a')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout.splitlines()[-1] == "['remit.cli.app']"


def test_a_reader_that_leaves_early_sees_no_message():
    ran = subprocess.run(
        f"{sys.executable} -m remit schema | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("141\n", "")
