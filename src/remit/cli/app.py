"""The root command: finds commands without importing them, and turns errors into exit codes.

Exit codes: 0 ok, 1 findings, 2 usage, 3 unavailable, 4 denied, 5 held; 130 when interrupted, 141
when the reader of the output left.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeVar

import click

from remit import errors
from remit.cli import rendering

CommandFunction = TypeVar("CommandFunction", bound="Any")

_COMMANDS = {
    "init": ("remit.cli.init:init", "Write a commented remit.yaml to start from."),
    "check": ("remit.cli.check:check", "Check policy documents and show every fault."),
    "schema": ("remit.cli.check:schema", "Print the JSON Schema of policy documents, for editors."),
    "explain": ("remit.cli.explain:explain", "Show what policy says of one request, and why."),
    "approvals": (
        "remit.cli.approvals:approvals",
        "List, show and decide what waits for a person.",
    ),
    "stop": (
        "remit.cli.stop:stop",
        "Stop an agent, a session, tools or everything: their next call is refused.",
    ),
    "resume": (
        "remit.cli.stop:resume",
        "Let go on what was stopped: one STOP by its id, or all stops of --agent, --tool, ...",
    ),
    "budgets": (
        "remit.cli.budgets:budgets",
        "Show what budgets have used and what is coming; raise, reset, back-test, export.",
    ),
    "serve": ("remit.cli.serve:serve", "Govern the agents of many processes, as a server."),
    "wrap": ("remit.cli.wrap:wrap", "Govern an MCP server that a client starts as a command."),
    "mcp": ("remit.cli.mcp:mcp", "Look at MCP servers, accept their tools, and govern clients."),
    "egress": ("remit.cli.egress:egress", "The proxy that agents reach the Internet through."),
    "legacy": ("remit.cli.legacy:legacy", "HTTP APIs that know nothing of agents."),
    "hooks": ("remit.cli.hooks:hooks", "Put coding agents under Remit by their own hooks."),
    "hook": (
        "remit.cli.hook:hook",
        "Answer one question of a coding agent's host, on standard input and output.",
    ),
    "run": (
        "remit.cli.run:run",
        "Run a command in a session of its own, with its model APIs behind the gateway.",
    ),
    "adapters": (
        "remit.cli.adapters:adapters",
        "Show the agent frameworks that Remit governs, and what each can do: all of them, or NAME.",
    ),
    "agents": ("remit.cli.agents:agents", "Add agents and people, and make and revoke keys."),
    "audit": ("remit.cli.audit:audit", "Export, verify, prove, show and erase records of the log."),
    "store": (
        "remit.cli.store:store",
        "Look after the store of a fleet: its schema, its log, its nodes, and the policy for all.",
    ),
    "witness": ("remit.cli.witness:witness", "Watch a log from outside, and have it cosigned."),
    "tail": ("remit.cli.tail:tail", "Follow decisions as they are made."),
    "classify": (
        "remit.cli.classify:classify",
        "Propose a policy from a list of tools: what each does, its sources, sinks and controls.",
    ),
    "attack": (
        "remit.cli.attack:attack",
        "Try what a hijacked agent would, and show what would get through.",
    ),
    "replay": (
        "remit.cli.replay:replay",
        "Replay what happened elsewhere, and see what policy makes of it.",
    ),
    "demo": ("remit.cli.demo:demo", "Watch a hijacked agent, without Remit and with it."),
    "version": ("remit.cli.version:version", "Print the version."),
}
"""Every command: where it is, and the line that ``remit --help`` shows for it."""


class Exit(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNAVAILABLE = 3
    DENIED = 4
    HELD = 5
    INTERRUPTED = 130
    READER_LEFT = 141


_EXITS: tuple[tuple[type[errors.RemitError], Exit], ...] = (
    (errors.ApprovalRequired, Exit.HELD),
    (errors.Unavailable, Exit.UNAVAILABLE),
    (errors.Refused, Exit.DENIED),
    (errors.Withheld, Exit.DENIED),
    (errors.ApprovalError, Exit.DENIED),
    (errors.AuthenticationError, Exit.DENIED),
    (errors.StoreCorrupt, Exit.FINDINGS),
    (errors.StoreError, Exit.UNAVAILABLE),
    (errors.ConfigError, Exit.USAGE),
    (errors.InvalidRequest, Exit.USAGE),
)
"""Exit code by error, the first that fits; any other error of Remit is a finding."""


class LazyCommands(click.Group):
    """A group that imports a command's module when that command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None."""
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.command(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 findings, 2 usage, 3 unavailable, 4 denied, 5 held.",
)
def root() -> None:
    """Remit governs AI agents: it decides, holds and records what they do before it happens."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Errors are rendered, as JSON under ``--json``."""
    programs_read = "--json" in arguments
    try:
        code = root.main(args=list(arguments), prog_name="remit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else Exit.OK
    except click.exceptions.NoArgsIsHelpError as fault:
        if programs_read:
            return _usage(fault, programs_read)
        click.echo(fault.format_message(), err=True)
        return Exit.USAGE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as fault:
        return _usage(fault, programs_read)
    except errors.PolicyError as fault:
        return _faulty_policy(fault, programs_read)
    except errors.RemitError as fault:
        code = next((code for kind, code in _EXITS if isinstance(fault, kind)), Exit.FINDINGS)
        return _failed(type(fault).__name__, str(fault), code, programs_read)
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # The reader left (``remit audit tail | head``); click makes SystemExit of that. Not OK
        # either: whatever the command would have found was not said. 141 is what SIGPIPE gives.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.READER_LEFT
    except OSError as fault:
        place = f"{fault.filename}: " if fault.filename else ""
        return _failed("OSError", f"{place}{fault.strerror or fault}", Exit.USAGE, programs_read)


def _usage(fault: click.ClickException, programs_read: bool) -> int:
    if programs_read:
        return _failed(type(fault).__name__, fault.format_message(), Exit.USAGE, True)
    context = getattr(fault, "ctx", None)
    if context is not None:
        click.echo(context.get_usage(), err=True)
        click.echo(f"Try '{context.command_path} --help' for help.\n", err=True)
    return _failed("usage", fault.format_message(), Exit.USAGE, False)


def _faulty_policy(fault: errors.PolicyError, programs_read: bool) -> int:
    if programs_read:
        faults = [rendering.fault_json(each) for each in fault.faults]
        rendering.print_json({"error": {"kind": "PolicyError", "faults": faults}})
        return Exit.FINDINGS
    for each in fault.faults:
        rendering.console(stderr=True).print(rendering.fault_text(each), soft_wrap=True)
    return _failed("PolicyError", str(fault).split("\n", 1)[0], Exit.FINDINGS, False)


def _failed(kind: str, message: str, code: int, programs_read: bool) -> int:
    if programs_read:
        rendering.print_json({"error": {"kind": kind, "message": message, "exit": int(code)}})
    else:
        shown = rendering.text("error: ", "bold red").append_text(rendering.text(message))
        rendering.console(stderr=True).print(shown, soft_wrap=True)
    return int(code)


def json_option(command: CommandFunction) -> CommandFunction:
    """Give a command the option ``--json``; it arrives as ``as_json``."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
    result: CommandFunction = option(command)
    return result
