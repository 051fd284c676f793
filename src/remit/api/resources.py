"""OAuth protected-resource metadata (RFC 9728): where a client of a gateway gets its token.

The answer is the same for every name, so that it does not tell which servers there are.
"""

from __future__ import annotations

from msgspec import Struct

from remit.api.frame import PUBLIC, Call, Problem, Reply, Route

_PLACE = "/.well-known/oauth-protected-resource"


class ResourceMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client has to know to be let in."""

    resource: str
    """The address that a token must be made out for."""
    authorization_servers: tuple[str, ...] = ()
    """The issuers whose tokens are taken. Without any, clients send a key that they were given."""
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str = "Remit"


async def metadata(call: Call) -> Reply:
    """What is needed to be let in at a place."""
    place = call.params["rest"]
    if not place.startswith("mcp/"):
        raise Problem(404, "not-found", "There is no gateway at that place.")
    issuers = tuple(each.issuer for each in call.parts.config.identity.issuers)
    body = ResourceMetadata(
        resource=f"{call.base_url}/{place}",
        authorization_servers=tuple(each for each in issuers if each.startswith("https://")),
        bearer_methods_supported=("header",),
    )
    return Reply(body=body)


ROUTES = (
    Route(
        method="GET",
        path=_PLACE + "/{rest...}",
        handler=metadata,
        rights=PUBLIC,
        summary="Where clients of a gateway get their tokens",
        description="OAuth 2.0 protected-resource metadata (RFC 9728) of `/mcp/NAME`.",
        tag="gateways",
        reply=ResourceMetadata,
        problems=(404,),
    ),
)
