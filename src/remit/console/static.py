"""The scripts and styles of the pages: files of the package, and nothing else."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from remit.api.frame import PUBLIC, Call, Problem, Reply, Route
from remit.console.pages import PREFIX, STATIC

_MEDIA = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


async def asset(call: Call) -> Reply:
    """One file, or that the browser's copy is still good."""
    found = _files().get(call.params["rest"])
    if found is None:
        raise Problem(404, "not-found", "There is no such file.")
    media, body, tag = found
    headers = {"ETag": tag, "Cache-Control": "public, no-cache"}
    if call.headers.get("If-None-Match") == tag:
        return Reply(body=b"", status=304, media=media, headers=headers)
    return Reply(body=body, media=media, headers=headers)


@lru_cache(maxsize=1)
def _files() -> dict[str, tuple[str, bytes, str]]:
    """Media type, content and tag of every file, by its path. All of them are small."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _MEDIA and path.is_file():
            body = path.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            found[path.relative_to(STATIC).as_posix()] = (_MEDIA[path.suffix], body, tag)
    return found


ROUTES = (
    Route(
        method="GET",
        path=f"{PREFIX}/static/{{rest...}}",
        handler=asset,
        rights=PUBLIC,
        summary="A script or a style",
    ),
)
