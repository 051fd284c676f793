"""What users say in conversations that pass the model gateway, where the operator trusts agents."""

from __future__ import annotations

from remit.api.frame import Parts
from remit.gateway.llm_sessions import ModelConversation
from remit.guard.calls import Caller
from remit.protocols.model_api import ModelRequest
from remit.protocols.model_turns import user_turns
from remit.sessions import MAX_INTENT
from remit.storage import Transaction


async def take_in(
    parts: Parts, caller: Caller, conversation: ModelConversation, asked: ModelRequest
) -> None:
    """Take in what is new of what the user says, unless only hosts may tell (``user_turns``).

    What stands in the user's place of a sub-agent's conversation is its caller's word.

    Raises:
        StoreError: nothing was taken in.
    """
    if parts.config.sessions.user_turns != "agents":
        return
    turns = [each[:MAX_INTENT] for each in user_turns(asked.body) if each.strip()]
    if all(map(conversation.heard, turns)):
        return
    async with conversation.lock:
        new = [each for each in dict.fromkeys(turns) if not conversation.heard(each)]

        def work(t: Transaction) -> None:
            session = t.session(caller.session)
            if session is not None and session.parent is None and session.ended_at is None:
                for words in new:
                    parts.governor.say(t, caller.session, words)

        await parts.write(work)
        for words in new:
            conversation.hear(words)
