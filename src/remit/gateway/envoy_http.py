"""``/envoy/check``: Envoy's external authorization over HTTP.

Envoy sends a request's method, path, headers and body here as they are, below this path. 200 lets
it go on with the headers of the answer; anything else is what the client gets.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest, Response, StreamResponse

from remit.api.bodies import whole_body
from remit.api.decoding import encoded
from remit.api.frame import Problem
from remit.api.mounts import Passing
from remit.credentials import Right
from remit.gateway.envoy import CheckedRequest, EnvoyDecisions
from remit.gateway.http_problems import problem_for

PREFIX = "/envoy/"
_CHECK = "/envoy/check"
_REMOVE = "x-envoy-auth-headers-to-remove"


class EnvoyMount:
    """Answers what an Envoy asks over HTTP (``Mount``)."""

    prefix = PREFIX
    rights = frozenset({Right.AGENT})

    def __init__(self, decisions: EnvoyDecisions) -> None:
        self._decisions = decisions

    def credentials(self, request: BaseRequest) -> tuple[str, ...]:
        """The key that the client showed to Envoy."""
        found = request.headers.getall(self._decisions.config.credential, ())
        return tuple(
            value if value[:7].lower() == "bearer " else f"Bearer {value}" for value in found
        )

    async def answer(self, passing: Passing) -> StreamResponse:
        """Decide on one request.

        Raises:
            Problem: it must not be sent on.
        """
        request, decisions = passing.request, self._decisions
        if not request.raw_path.startswith((f"{_CHECK}/", f"{_CHECK}?")):
            raise Problem(404, "not-found", f"Have Envoy ask with path_prefix: {_CHECK}.")
        limits = decisions.parts.config.limits
        asked = CheckedRequest(
            method=request.method,
            authority=request.headers.get("Host", ""),
            path=request.raw_path.removeprefix(_CHECK),
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in request.raw_headers
            ),
            body=await whole_body(request, limits.body, limits.request_time),
        )
        try:
            let = await decisions.decide(asked, passing.identity, headers=False)
        except Exception as error:
            raise problem_for(error, decisions.parts.clock()) from error
        response = Response(headers=dict(let.put))
        if let.remove:
            response.headers[_REMOVE] = ",".join(let.remove)
        return response

    def refused(self, request: BaseRequest, problem: Problem, request_id: str) -> StreamResponse:
        """The answer that the client gets in place of the server's."""
        headers = {
            "Content-Type": "application/problem+json",
            "X-Remit-Problem": problem.code,
            **problem.headers,
        }
        headers.pop("Connection", None)
        body = encoded(problem.document(request_id))
        return Response(status=problem.status, body=body, headers=headers)

    async def close(self) -> None:
        """Nothing is open: each request was settled before it was answered."""
