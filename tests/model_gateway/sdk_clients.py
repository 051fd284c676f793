"""The official SDKs as one kind of agent: it asks a model, runs the tools, asks again.

Each ``Agent`` speaks one API by its SDK (openai, anthropic, google-genai), with the synchronous or
the asynchronous client, streaming or not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types as gemini_types

APIS = ("chat", "responses", "messages", "gemini")
MODELS = {"chat": "gpt-a", "responses": "gpt-a", "messages": "claude-a", "gemini": "gemini-a"}
ACTIONS = {
    "chat": "model.openai.gpt-a",
    "responses": "model.openai.gpt-a",
    "messages": "model.anthropic.claude-a",
    "gemini": "model.gemini.gemini-a",
}
REFUSALS = (openai.APIStatusError, anthropic.APIStatusError, gemini_errors.APIError)


def status_of(error: Any) -> int:
    """HTTP status of a refusal."""
    found: int = error.code if isinstance(error, gemini_errors.APIError) else error.status_code
    return found


@dataclass
class Turn:
    """What a model said."""

    text: str
    calls: list[tuple[str, str, dict[str, Any]]]
    """Id, name and arguments."""
    finish: str
    usage: tuple[int, int]
    """Tokens in and out."""


@dataclass
class Agent:
    """A conversation with a model through one SDK."""

    api: str
    url: str
    key: str
    stream: bool = False
    asynchronous: bool = False
    tools: Sequence[str] = ("read_note", "delete_note", "pay", "wire_money", "lookup")
    headers: Mapping[str, str] = field(default_factory=dict)
    hosted: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    history: list[Any] = field(default_factory=list)

    def ask(self, text: str = "go") -> Turn:
        """Say something to the model."""
        role = "user"
        if self.api == "gemini":
            part = gemini_types.Part.from_text(text=text)
            self.history.append(gemini_types.Content(role=role, parts=[part]))
        else:
            self.history.append({"role": role, "content": text})
        return self.go_on()

    def go_on(self) -> Turn:
        """Ask with the conversation as it is."""
        work: Callable[[], Any] = getattr(self, f"_{self.api}")
        if self.asynchronous:
            coroutine: Coroutine[Any, Any, Turn] = getattr(self, f"_{self.api}_async")()
            return asyncio.run(coroutine)
        turn: Turn = work()
        return turn

    def give(self, call: tuple[str, str, dict[str, Any]], result: str) -> None:
        """Add what a tool returned."""
        identifier, name, _ = call
        if self.api == "chat":
            self.history.append({"role": "tool", "tool_call_id": identifier, "content": result})
        elif self.api == "responses":
            item = {"type": "function_call_output", "call_id": identifier, "output": result}
            self.history.append(item)
        elif self.api == "messages":
            block = {"type": "tool_result", "tool_use_id": identifier, "content": result}
            last = self.history[-1]
            if last["role"] == "user":
                last["content"].append(block)
            else:
                self.history.append({"role": "user", "content": [block]})
        else:
            response = gemini_types.FunctionResponse(
                id=identifier, name=name, response={"result": result}
            )
            part = gemini_types.Part(function_response=response)
            self.history.append(gemini_types.Content(role="user", parts=[part]))

    @property
    def _model(self) -> str:
        return self.model or MODELS[self.api]

    def _schema(self) -> dict[str, Any]:
        return {"type": "object", "properties": {"name": {"type": "string"}}}

    # Chat Completions

    def _chat_arguments(self) -> dict[str, Any]:
        tools: list[Any] = [
            {"type": "function", "function": {"name": name, "parameters": self._schema()}}
            for name in self.tools
        ]
        return {
            "model": self._model,
            "messages": self.history,
            "tools": [*tools, *self.hosted] or openai.omit,
            **self.extra,
        }

    def _openai(self) -> openai.OpenAI:
        return openai.OpenAI(
            api_key=self.key,
            base_url=f"{self.url}/openai/v1",
            max_retries=0,
            default_headers=self.headers,
        )

    def _openai_async(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self.key,
            base_url=f"{self.url}/openai/v1",
            max_retries=0,
            default_headers=self.headers,
        )

    def _chat(self) -> Turn:
        with self._openai() as client:
            completions, asked = client.chat.completions, self._chat_arguments()
            if not self.stream:
                return self._chat_turn(completions.create(**asked))
            asked["stream_options"] = {"include_usage": True}
            with completions.stream(**asked) as stream:
                for _ in stream:
                    pass
                return self._chat_turn(stream.get_final_completion())

    async def _chat_async(self) -> Turn:
        async with self._openai_async() as client:
            completions, asked = client.chat.completions, self._chat_arguments()
            if not self.stream:
                return self._chat_turn(await completions.create(**asked))
            asked["stream_options"] = {"include_usage": True}
            async with completions.stream(**asked) as stream:
                async for _ in stream:
                    pass
                return self._chat_turn(await stream.get_final_completion())

    def _chat_turn(self, said: Any) -> Turn:
        choice = said.choices[0]
        message = choice.message
        kept: dict[str, Any] = {"role": "assistant", "content": message.content}
        calls = []
        for call in message.tool_calls or ():
            function = call.function
            calls.append((call.id, function.name, json.loads(function.arguments)))
            plain = {"name": function.name, "arguments": function.arguments}
            found = {"id": call.id, "type": "function", "function": plain}
            kept.setdefault("tool_calls", []).append(found)
        self.history.append(kept)
        usage = (said.usage.prompt_tokens, said.usage.completion_tokens)
        return Turn(message.content or "", calls, choice.finish_reason, usage)

    # Responses

    def _responses_arguments(self) -> dict[str, Any]:
        tools: list[Any] = [
            {"type": "function", "name": name, "parameters": self._schema(), "strict": False}
            for name in self.tools
        ]
        return {
            "model": self._model,
            "input": self.history,
            "tools": [*tools, *self.hosted] or openai.omit,
            **self.extra,
        }

    def _responses(self) -> Turn:
        with self._openai() as client:
            asked = self._responses_arguments()
            if not self.stream:
                return self._response_turn(client.responses.create(**asked))
            with client.responses.stream(**asked) as stream:
                for _ in stream:
                    pass
                return self._response_turn(stream.get_final_response())

    async def _responses_async(self) -> Turn:
        async with self._openai_async() as client:
            asked = self._responses_arguments()
            if not self.stream:
                return self._response_turn(await client.responses.create(**asked))
            async with client.responses.stream(**asked) as stream:
                async for _ in stream:
                    pass
                return self._response_turn(await stream.get_final_response())

    def _response_turn(self, said: Any) -> Turn:
        calls = []
        for item in said.output:
            if item.type == "function_call":
                calls.append((item.call_id, item.name, json.loads(item.arguments)))
                self.history.append(
                    {
                        "type": "function_call",
                        "call_id": item.call_id,
                        "name": item.name,
                        "arguments": item.arguments,
                    }
                )
        if said.output_text:
            self.history.append({"role": "assistant", "content": said.output_text})
        usage = (said.usage.input_tokens, said.usage.output_tokens)
        return Turn(said.output_text, calls, said.status, usage)

    # Messages

    def _messages_arguments(self) -> dict[str, Any]:
        tools: list[Any] = [{"name": name, "input_schema": self._schema()} for name in self.tools]
        return {
            "model": self._model,
            "max_tokens": 100,
            "messages": self.history,
            "tools": [*tools, *self.hosted] or anthropic.omit,
            **self.extra,
        }

    def _messages(self) -> Turn:
        with anthropic.Anthropic(
            api_key=self.key,
            base_url=f"{self.url}/anthropic",
            max_retries=0,
            default_headers=self.headers,
        ) as client:
            asked = self._messages_arguments()
            if not self.stream:
                return self._message_turn(client.messages.create(**asked))
            with client.messages.stream(**asked) as stream:
                for _ in stream:
                    pass
                return self._message_turn(stream.get_final_message())

    async def _messages_async(self) -> Turn:
        async with anthropic.AsyncAnthropic(
            api_key=self.key,
            base_url=f"{self.url}/anthropic",
            max_retries=0,
            default_headers=self.headers,
        ) as client:
            asked = self._messages_arguments()
            if not self.stream:
                return self._message_turn(await client.messages.create(**asked))
            async with client.messages.stream(**asked) as stream:
                async for _ in stream:
                    pass
                return self._message_turn(await stream.get_final_message())

    def _message_turn(self, said: Any) -> Turn:
        blocks: list[Any] = []
        for block in said.content:
            if block.type == "text":
                blocks.append({"type": "text", "text": block.text})
            elif block.type == "tool_use":
                plain = {"type": "tool_use", "id": block.id, "name": block.name}
                blocks.append({**plain, "input": block.input})
        self.history.append({"role": "assistant", "content": blocks})
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        calls = [
            (block["id"], block["name"], dict(block["input"]))
            for block in blocks
            if block["type"] == "tool_use"
        ]
        usage = said.usage
        went_in = usage.input_tokens + (usage.cache_read_input_tokens or 0)
        return Turn(text, calls, said.stop_reason, (went_in, usage.output_tokens))

    # Gemini

    def _genai(self) -> genai.Client:
        options = gemini_types.HttpOptions(
            base_url=f"{self.url}/gemini", headers=dict(self.headers) or None
        )
        return genai.Client(api_key=self.key, http_options=options)

    def _gemini_arguments(self) -> dict[str, Any]:
        declared: list[Any] = [
            {"name": name, "parameters_json_schema": self._schema()} for name in self.tools
        ]
        tools: list[Any] = [{"function_declarations": declared}] if declared else []
        manual = gemini_types.AutomaticFunctionCallingConfig(disable=True)
        config = gemini_types.GenerateContentConfig(
            tools=[*tools, *self.hosted], automatic_function_calling=manual, **self.extra
        )
        return {"model": self._model, "contents": self.history, "config": config}

    def _gemini(self) -> Turn:
        client = self._genai()
        try:
            asked = self._gemini_arguments()
            if not self.stream:
                return self._gemini_turn([client.models.generate_content(**asked)])
            return self._gemini_turn(list(client.models.generate_content_stream(**asked)))
        finally:
            client.close()

    async def _gemini_async(self) -> Turn:
        client = self._genai()
        try:
            asked = self._gemini_arguments()
            if not self.stream:
                return self._gemini_turn([await client.aio.models.generate_content(**asked)])
            chunks = [
                each async for each in await client.aio.models.generate_content_stream(**asked)
            ]
            return self._gemini_turn(chunks)
        finally:
            await client.aio.aclose()
            client.close()

    def _gemini_turn(self, chunks: Sequence[Any]) -> Turn:
        parts = [
            part
            for chunk in chunks
            for candidate in chunk.candidates or ()
            for part in (candidate.content.parts if candidate.content else None) or ()
        ]
        self.history.append(gemini_types.Content(role="model", parts=parts))
        calls = [
            (part.function_call.id, part.function_call.name, dict(part.function_call.args or {}))
            for part in parts
            if part.function_call
        ]
        usage = chunks[-1].usage_metadata
        came_out = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        finish = str(chunks[-1].candidates[0].finish_reason.value)
        text = "".join(part.text for part in parts if part.text)
        return Turn(text, calls, finish, (usage.prompt_token_count, came_out))
