from __future__ import annotations

from serving import parts_of, serving


async def test_a_server_says_what_answers() -> None:
    async with serving(parts_of()) as client:
        answer = await client("GET", "/")
        assert answer.status == 200
        assert answer.json["name"] == "remit"
        assert "Server" not in answer.headers
        missing = await client("GET", "/nothing", headers={"X-Request-ID": "abc"})
        assert missing.status == 404
        assert missing.headers["Content-Type"] == "application/problem+json"
        assert missing.headers["X-Request-ID"] == "abc"
        assert missing.json["code"] == "not-found"
