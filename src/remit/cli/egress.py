"""``remit egress``: the authority that agents trust where the forward proxy opens TLS."""

from __future__ import annotations

from pathlib import Path

import click

from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.config import CONFIG_FILE, read_config
from remit.config.egress import EgressConfig

_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


@click.group()
def egress() -> None:
    """The proxy that agents reach the Internet through."""


@egress.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help=f"The configuration.  [default: {CONFIG_FILE}, if it is there]",
)
@json_option
def ca(path: Path | None, as_json: bool) -> int:
    """Make the authority that signs for hosts whose TLS is opened, or show the one there is.

    The certificate is what agents trust; give it to them. The key beside it can stand in for any
    host before whoever trusts it: it is never sent anywhere, and only the user who runs the server
    may read it.
    """
    from remit.gateway.forward_ca import InspectionAuthority, fingerprint

    default = Path(CONFIG_FILE)
    config = read_config(path or (default if default.exists() else None))
    settings = config.egress or EgressConfig()
    folder = (path or default).absolute().parent
    certificate, key = folder / settings.ca, folder / settings.ca_key
    authority = InspectionAuthority.open_or_create(certificate, key)
    shown = {
        "certificate": str(certificate),
        "key": str(key),
        "sha256": fingerprint(authority.certificate),
        "until": authority.certificate.not_valid_after_utc.isoformat(),
    }
    if as_json:
        rendering.print_json(shown)
        return Exit.OK
    rendering.line(rendering.text(str(certificate)))
    rendering.line(rendering.quiet(f"sha256 {shown['sha256']}, until {shown['until'][:10]}"))
    rendering.line(rendering.quiet("Have agents trust it, for example:"))
    for name in _TRUST:
        rendering.line(rendering.text(f"  export {name}={certificate}"))
    return Exit.OK
