"""``remit serve``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.config import CONFIG_FILE, Config, read_config, secret
from remit.errors import ConfigError


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help=f"The configuration.  [default: {CONFIG_FILE}, if it is there]",
)
@click.option("--check", is_flag=True, help="Check the configuration and the policy, and stop.")
@json_option
def serve(path: Path | None, check: bool, as_json: bool) -> int:
    """Govern the agents of many processes, as a server.

    Without a configuration it listens at 127.0.0.1:8700 and at the Unix socket remit.sock, with
    the policy remit.yaml, all in the current directory. It logs JSON lines to standard error.

    SIGTERM ends it in good order, SIGHUP makes it read the policy and its certificate again.
    """
    default = Path(CONFIG_FILE)
    config = read_config(path or (default if default.exists() else None))
    if check:
        return _checked(config, as_json)
    return _served(config)


def _checked(config: Config, as_json: bool) -> int:
    from remit.config.mcp import with_mcp_secrets
    from remit.guard.opening import read_documents
    from remit.policy import load
    from remit.webhooks.settings import with_secrets

    policies = load(read_documents(config.policy.path))
    with_secrets(config.webhooks, secret)
    with_mcp_secrets(config.mcp, secret)
    if as_json:
        rendering.print_json({"ok": True, "revision": policies.revision})
    else:
        rendering.line(rendering.text("ok", "green"), f"  {config.policy.path}")
        rendering.line(rendering.quiet(f"revision {policies.revision}"))
    return Exit.OK


def _served(config: Config) -> int:
    try:
        from remit.server.logs import log_to
        from remit.server.running import serve as run
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("remit"):
            raise
        raise ConfigError(
            f"The server needs {missing.name}, which is not installed: pip install 'remit[server]'"
        ) from None
    log_to(level=config.log.level)
    try:
        import uvloop
    except ModuleNotFoundError:
        well = asyncio.run(run(config))
    else:
        well = uvloop.run(run(config))
    return Exit.OK if well else Exit.UNAVAILABLE
