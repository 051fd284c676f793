"""METHOD URL ... on the command line -> a status each, as JSON. The rest is in variables."""

import asyncio
import json
import sys

import aiohttp


async def main() -> None:
    found = []
    async with aiohttp.ClientSession(trust_env=True) as client:
        for method, url in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            body = {"item": 4711} if method == "POST" else None
            try:
                async with client.request(method, url, json=body) as answer:
                    found.append(answer.status)
            except aiohttp.ClientHttpProxyError as error:
                found.append(error.status)
    print(json.dumps(found))


asyncio.run(main())
