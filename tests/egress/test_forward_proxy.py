"""The forward proxy with real clients: what is decided, what passes, what the log says."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from egress_world import World, world


def plain(world: World, path: str, host: str = "api.shop.example") -> str:
    return f"http://{host}:{world.outside.plain}{path}"


def secure(world: World, path: str, host: str = "api.shop.example") -> str:
    return f"https://{host}:{world.outside.secure}{path}"


def trust(path: Path) -> object:
    import ssl

    return ssl.create_default_context(cafile=str(path))


async def test_plain_http_is_decided_by_method_path_and_body(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        async with client.get(plain(here, "/stock?item=4711"), proxy=here.url) as answer:
            assert answer.status == 200
            assert await answer.json() == {"you": "GET", "bytes": 0}
        async with client.post(
            plain(here, "/orders"), json={"item": 4711}, proxy=here.url
        ) as answer:
            assert answer.status == 200
        async with client.get(plain(here, "/admin/users"), proxy=here.url) as answer:
            assert answer.status == 403
            assert answer.headers["X-Remit-Problem"] == "denied"
            assert "Nobody's agent administers a shop" in (await answer.json())["detail"]
        host = f"api.shop.example:{here.outside.plain}"
        assert here.outside.seen == [f"GET {host}/stock?item=4711", f"POST {host}/orders"]
        effects = [each.effect for each in here.records("decision")]
        assert effects == ["allow", "allow", "deny"]
        assert [each.status for each in here.records("outcome")] == ["ok", "ok"]


async def test_a_tunnel_is_decided_by_host_and_port(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as client:
        context = trust(here.outside.roots)
        async with client.get(secure(here, "/stock"), proxy=here.url, ssl=context) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientHttpProxyError) as refused:
            await client.get("https://evil.example/", proxy=here.url)
        assert refused.value.status == 403
        assert here.lookups == ["api.shop.example"]


async def test_with_inspection_every_request_inside_of_tls_is_decided(tmp_path: Path) -> None:
    async with world(tmp_path, inspect='"*"') as here, aiohttp.ClientSession() as client:
        context = trust(here.ca)
        async with client.get(secure(here, "/stock"), proxy=here.url, ssl=context) as answer:
            assert answer.status == 200
        async with client.get(secure(here, "/admin"), proxy=here.url, ssl=context) as answer:
            assert answer.status == 403
        secret = "AKIAIOSFODNN7EXAMPLQ"
        async with client.post(
            secure(here, "/notes"), json={"note": f"key {secret}"}, proxy=here.url, ssl=context
        ) as answer:
            assert answer.status == 403
            assert "Secrets stay inside" in (await answer.json())["detail"]
        async with client.get(secure(here, "/customers"), proxy=here.url, ssl=context) as answer:
            assert answer.status == 200
            assert "ada@shop.example" not in await answer.text()
        async with client.put(secure(here, "/x"), data=b"", proxy=here.url, ssl=context) as answer:
            assert answer.status == 403
            assert (await answer.json())["code"] == "approval-required"
        assert len(here.outside.seen) == 2
