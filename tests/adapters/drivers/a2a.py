"""A2A in the contract: a real server on loopback, a real client, each with its own messages."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import a2a_notes as page
import uvicorn
from a2a.helpers.proto_helpers import get_message_text, new_text_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface
from contract import RAN, Scene, contains, equal
from starlette.applications import Starlette


class Notes(AgentExecutor):
    async def execute(self, context: Any, event_queue: Any) -> None:
        text = get_message_text(context.message)
        RAN.append(("notes", text))
        if "explode" in text:
            raise ValueError("exploded")
        await event_queue.enqueue_event(new_text_message(f"4111 for {text}"))

    async def cancel(self, context: Any, event_queue: Any) -> None: ...


def served(executor: Any) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    interface = AgentInterface(url=f"{url}/", protocol_binding="JSONRPC", protocol_version="1.0")
    card = AgentCard(
        name="notes", description="d", version="1", supported_interfaces=[interface],
        capabilities=AgentCapabilities(streaming=True), default_input_modes=["text"],
        default_output_modes=["text"],
    )  # fmt: skip
    store = InMemoryTaskStore()
    handler = DefaultRequestHandler(agent_executor=executor, task_store=store, agent_card=card)
    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, rpc_url="/")]
    config = uvicorn.Config(Starlette(routes=routes), port=port, log_level="error")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    return url


def ask(scene: Scene, url: str, text: str) -> str:
    with scene.guard.session(agent="notes-bot", user="ada"):
        return asyncio.run(page.ask(url, scene.guard, text))


def sent(scene: Scene) -> None:
    """Let through, and the answer redacted; refused; held, approved and sent once."""
    url = served(Notes())
    contains(said := ask(scene, url, "read a"), "redacted")
    assert "4111" not in said, said
    contains(ask(scene, url, "delete a"), "a2a.send_message", "Deletes need a ticket.")
    contains(ask(scene, url, "mail ada"), "waits for approval")
    equal(RAN, [("notes", "read a")])
    scene.approve()
    ask(scene, url, "mail ada")
    contains(ask(scene, url, "mail ada"), "waits for approval")
    equal(RAN, [("notes", "read a"), ("notes", "mail ada")])
    equal(scene.outcomes(), ["a2a.send_message ok"] * 2)


def received(scene: Scene) -> None:
    """What others ask is decided on the server's side, in a session of its own."""
    url = served(page.governed_executor(Notes(), scene.guard))
    plain = Scene(scene.driver, scene.guard, scene.mode)
    contains(asyncio.run(asked(url, "read a")), "4111 for read a")
    contains(asyncio.run(asked(url, "delete a")), "a2a.execute", "Deletes need a ticket.")
    asyncio.run(asked(url, "explode"))
    equal(RAN, [("notes", "read a"), ("notes", "explode")])
    plain.settles(["a2a.execute ok", "a2a.execute error"])


def server_side_fault(scene: Scene) -> None:
    """Remit fails where the request comes in: it is answered, and not carried out."""
    guard = scene.guard
    executor = page.governed_executor(Notes(), guard)
    executor._agent = ""
    contains(asyncio.run(asked(served(executor), "read a")), "not")
    equal(RAN, [])


async def asked(url: str, text: str) -> str:
    """Ask as somebody without Remit does."""
    from a2a.client.client_factory import create_client
    from a2a.helpers.proto_helpers import get_stream_response_text
    from a2a.types.a2a_pb2 import Role, SendMessageRequest

    client = await create_client(url)
    request = SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))
    try:
        return " ".join([get_stream_response_text(e) async for e in client.send_message(request)])
    except Exception as error:
        return f"{type(error).__name__}: {error}"


class Framework:
    more = (sent, received, server_side_fault)
