"""Two agents that talk over A2A, each under Remit."""

from a2a.client.client_factory import create_client
from a2a.helpers.proto_helpers import get_stream_response_text, new_text_message
from a2a.types.a2a_pb2 import Role, SendMessageRequest

from remit.adapters.a2a import GovernedExecutor, govern


def governed_executor(executor, guard):
    """What others may ask of this agent; give it to the request handler of the server."""
    return GovernedExecutor(executor, guard, agent="notes-bot", user=lambda context: "ada")


async def ask(url, guard, question):
    """Ask another agent; in ``async with guard.session(agent="notes-bot", user="ada"):``."""
    client = govern(await create_client(url), guard)
    message = new_text_message(question, role=Role.ROLE_USER)
    answers = client.send_message(SendMessageRequest(message=message))
    return " ".join([get_stream_response_text(answer) async for answer in answers])
