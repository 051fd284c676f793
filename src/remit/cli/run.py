"""``remit run --models -- COMMAND``: a command whose models are behind the gateway."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from remit.cli.app import Exit, json_option
from remit.cli.gateway_session import GatewaySession, gateway_session
from remit.cli.tasks import remit_option
from remit.config import CONFIG_FILE, read_config
from remit.errors import ConfigError
from remit.model import TaskRemit


def variables(url: str, key: str) -> Mapping[str, str]:
    """What the known SDKs read: where models are, and the key for that.

    Args:
        url: of the server, without a slash at its end.
        key: a Remit credential.
    """
    openai, anthropic, gemini = f"{url}/openai/v1", f"{url}/anthropic", f"{url}/gemini"
    return {
        "OPENAI_BASE_URL": openai,
        "OPENAI_API_BASE": openai,
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": anthropic,
        "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": gemini,
        "GEMINI_API_KEY": key,
        "GOOGLE_API_KEY": key,
    }


_PROVIDER_KEYS = ("ANTHROPIC_AUTH_TOKEN", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
"""What else SDKs read of who pays; none of the command's business."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--models", is_flag=True, help="Send what it asks of models through the gateway.")
@click.option("--agent", default=None, help="Whom it runs as.  [default: the only agent declared]")
@click.option("--intent", default=None, help="What it is for, in the user's words.")
@remit_option
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help=f"The configuration of the server.  [default: {CONFIG_FILE}, if it is there]",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@json_option
def run(
    models: bool,
    agent: str | None,
    intent: str | None,
    remit: TaskRemit | None,
    path: Path | None,
    command: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run a command in a session of its own, with its model APIs behind the gateway.

    A server that runs already is used; where none does, one is started and ended with the command.
    The base URLs and keys that the SDKs of OpenAI, Anthropic and Google read from the environment
    are set, so that the program needs no change. The exit code is the command's. With --json, what
    Remit itself has to say of a failure is JSON; what the command prints is its own.

    An example: remit run --models -- python agent.py
    """
    if not models:
        raise click.UsageError("Say what goes through Remit: remit run --models -- COMMAND")
    default = Path(CONFIG_FILE)
    chosen = path or (default if default.exists() else None)
    config = read_config(chosen)
    if not config.models:
        raise ConfigError(
            f"{chosen or CONFIG_FILE}: no model API is configured; add a [[models]] table "
            "(docs/model-gateway.md)"
        )
    with gateway_session(config, chosen, agent, intent, remit) as session:
        return _ended(command, session, [each.variable for each in config.models])


def _ended(command: tuple[str, ...], session: GatewaySession, secrets: Sequence[str]) -> int:
    """Run the command to its end; its exit code.

    Args:
        command: what to run.
        session: what it runs in.
        secrets: variables with keys that are the server's.
    """
    environment = {**os.environ, **variables(session.url, session.key)}
    for name in (*_PROVIDER_KEYS, "REMIT_KEY", "REMIT_KEY_FILE"):
        environment.pop(name, None)
    for name in secrets:
        environment.pop(name, None)
        environment.pop(f"{name}_FILE", None)
    environment["REMIT_SESSION"] = session.id
    try:
        process = subprocess.Popen(command, env=environment)  # noqa: S603 - that is what it is for
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}") from None
    with _passed_on(process):
        code = process.wait()
    return code if code >= 0 else int(Exit.INTERRUPTED) - int(signal.SIGINT) - code


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave it to the command what a signal means."""

    def pass_on(number: int, _: object) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
