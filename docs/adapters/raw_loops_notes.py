"""Loops without a framework: the calls of each reply are run under Remit."""


def ask_anthropic(client, guard, tools, schemas, question):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    messages = [{"role": "user", "content": question}]
    while True:
        reply = client.messages.create(
            model="claude-sonnet-4-5", max_tokens=1000, messages=messages, tools=schemas
        )
        if reply.stop_reason != "tool_use":
            return reply.content[0].text
        messages.append({"role": "assistant", "content": reply.content})
        messages += guard.run_tool_calls(reply, tools)


async def ask_openai(client, guard, tools, schemas, question):
    """The same with OpenAI's Chat Completions, in an event loop."""
    messages = [{"role": "user", "content": question}]
    while True:
        reply = await client.chat.completions.create(
            model="gpt-5", messages=messages, tools=schemas
        )
        message = reply.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        messages += await guard.run_tool_calls_async(reply, tools)
