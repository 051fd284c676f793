"""``remit serve`` as a process of its own: start, signals, drain, reload, what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remit.approvals import ApprovalState
from remit.audit.checkpoint import read_checkpoint
from remit.credentials import Right
from remit.identity.keys import issue
from remit.storage.sqlite import SqliteStore
from serving import POLICY


class Running:
    """One server process. What it writes to standard error goes to a file."""

    def __init__(
        self, folder: Path, *arguments: str, environ: dict[str, str] | None = None
    ) -> None:
        self.log = folder / "serve.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "remit", "serve", *arguments],
                cwd=folder,
                stderr=log,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **(environ or {})},
            )

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in found if each["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if len(found := self.events(event)) >= count:
                return found[count - 1]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"no {event!r} in {self.log.read_text()}")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "remit.yaml").write_text(POLICY)
    (tmp_path / "remit.toml").write_text(
        '[server]\nlisten = ["127.0.0.1:0"]\ndrain = "5s"\n[policy]\npoll = "50ms"\n'
    )
    return tmp_path


@contextmanager
def running(folder: Path, *arguments: str, **options: Any) -> Iterator[Running]:
    server = Running(folder, *arguments, **options)
    try:
        server.wait_for("listening")
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


def port(server: Running) -> int:
    return int(server.wait_for("listening")["urls"][0].rpartition(":")[2])


def get(server: Running, path: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port(server), timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    server = Running(folder, *arguments)
    return server.process.wait(20), server.log.read_text()


def test_a_server_from_start_to_end(folder: Path) -> None:
    with running(folder) as server:
        told = server.wait_for("listening")
        assert told["urls"][1] == f"unix://{folder}/remit.sock"
        assert told["store"] == str(folder / "remit.db")
        status, ready = get(server, "/readyz")
        assert (status, ready["status"]) == (200, "ok")
        assert ready["revision"] == told["revision"]
        assert (folder / "remit.sock").stat().st_mode & 0o777 == 0o600
        assert (folder / "remit.db").stat().st_mode & 0o777 == 0o600
        assert server.end() == 0
        assert not (folder / "remit.sock").exists()
    with SqliteStore(folder / "remit.db") as store:
        note = store.read(lambda view: view.checkpoint())
        assert note is not None
        assert read_checkpoint(note).size == store.read(lambda view: view.log_size())


def test_the_first_admin_is_invited_until_there_is_one(folder: Path) -> None:
    with running(folder) as server:
        text = server.log.read_text()
        secret = json.loads("{" + text.partition("--json '{")[2].partition("'")[0])["secret"]
        assert all(secret not in line for line in text.splitlines() if line.startswith("{"))
        connection = HTTPConnection("127.0.0.1", port(server), timeout=5)
        for status in (201, 401):
            body = json.dumps({"secret": secret, "principal": "ada"})
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/bootstrap", body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == status, answer
            assert "key" not in answer or answer["key"] not in server.log.read_text()
        connection.close()
        assert server.end() == 0
    with running(folder) as server:
        assert "bootstrap" not in server.log.read_text()


def test_sigint_ends_it_too_and_a_second_signal_at_once(folder: Path) -> None:
    with running(folder) as server:
        assert server.end(signal.SIGINT) == 0
    with running(folder) as server:
        held = socket.create_connection(("127.0.0.1", port(server)))
        held.sendall(
            b"POST /v1/bootstrap HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n{"
        )
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining", 1)
        time.sleep(0.2)
        assert server.process.poll() is None
        begun = time.monotonic()
        assert server.end() == 128 + signal.SIGTERM
        assert time.monotonic() - begun < 2
        held.close()


def test_a_request_under_way_is_finished_and_no_other_taken(folder: Path) -> None:
    with running(folder) as server:
        place = ("127.0.0.1", port(server))
        held = socket.create_connection(place, timeout=10)
        body = b'{"secret": "x", "principal": "ada"}'
        head = (
            b"POST /v1/bootstrap HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        held.sendall(head + body[:5])
        idle = socket.create_connection(place, timeout=10)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("draining")
        assert idle.recv(100) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
        held.sendall(body[5:])
        answer = b""
        while part := held.recv(65536):
            answer += part
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"Connection: close" in answer
        assert server.process.wait(10) == 0
        idle.close()
        held.close()


def post(server: Running, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port(server), timeout=30)
    try:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_held_call_gets_its_handle_when_the_server_ends(folder: Path) -> None:
    with SqliteStore(folder / "remit.db") as store:
        rights = frozenset({Right.AGENT})
        key = store.write(
            lambda t: issue(
                t,
                principal="inventory-bot",
                kind="agent",
                rights=rights,
                now=time.time_ns(),
                entropy=os.urandom,
            )
        ).text
    with running(folder) as server, ThreadPoolExecutor() as threads:
        session = post(server, "/v1/sessions", key, {})[1]["id"]
        ask = {"session": session, "action": {"name": "send_email"}, "wait": 30}
        held = threads.submit(post, server, "/v1/admit", key, ask)
        time.sleep(0.5)
        assert not held.done()
        begun = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begun < 4
        status, answer = held.result(5)
        assert (status, answer["granted"]) == (200, False)
    with SqliteStore(folder / "remit.db") as store:
        approval = store.read(lambda view: view.approval(answer["approval"]))
        assert approval is not None
        assert approval.state is ApprovalState.PENDING


def test_a_request_that_does_not_end_is_cut_off(folder: Path) -> None:
    config = folder / "remit.toml"
    config.write_text(config.read_text().replace("5s", "300ms"))
    with running(folder) as server:
        held = socket.create_connection(("127.0.0.1", port(server)), timeout=10)
        held.sendall(
            b"POST /v1/bootstrap HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n{"
        )
        time.sleep(0.2)
        begun = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begun < 4
        assert server.events("requests cut off")[0]["count"] == 1
        held.close()


def test_a_changed_policy_is_put_in_force_and_a_broken_one_is_not(folder: Path) -> None:
    policy = folder / "remit.yaml"
    with running(folder) as server:
        first = get(server, "/readyz")[1]["revision"]
        policy.write_text(POLICY.replace("effect: allow", "effect: deny"))
        second = server.wait_for("policy in force")["revision"]
        assert second != first
        assert get(server, "/readyz")[1]["revision"] == second

        policy.write_text(POLICY.replace("effect: allow", "effect: perhaps"))
        told = server.wait_for("policy refused")
        assert told["in_force"] == second
        status, ready = get(server, "/readyz")
        assert (status, ready["status"], ready["revision"]) == (200, "degraded", second)
        assert "remit.yaml:" in ready["faults"]["policy"]

        policy.unlink()
        server.wait_for("policy refused", 2)
        assert get(server, "/readyz")[1]["revision"] == second

        policy.write_text(POLICY.replace("effect: allow", "effect: deny"))
        server.wait_for("policy mended")
        assert get(server, "/readyz")[1]["status"] == "ok"
        assert server.end() == 0
    with SqliteStore(folder / "remit.db") as store:
        for revision in (first, second):
            assert store.read(lambda view, it=revision: view.document(it)) is not None


def test_sighup_reloads_at_once(folder: Path) -> None:
    config = folder / "remit.toml"
    config.write_text(config.read_text().replace("50ms", "1h"))
    with running(folder) as server:
        (folder / "remit.yaml").write_text(POLICY.replace("effect: allow", "effect: deny"))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("policy in force")
        (folder / "remit.yaml").write_text("remit: 2\n")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("policy refused")
        assert server.end() == 0


def test_one_server_for_each_socket(folder: Path) -> None:
    with running(folder):
        code, told = refused(folder)
        assert code == 2
        assert "another server lives there" in told
        assert (folder / "remit.sock").exists()


def test_the_socket_of_a_killed_server_is_taken_over(folder: Path) -> None:
    with running(folder) as server:
        server.end(signal.SIGKILL)
    assert (folder / "remit.sock").exists()
    with running(folder) as server:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(folder / "remit.sock"))
        assert server.end() == 0


def test_what_is_no_socket_is_left_alone(folder: Path) -> None:
    (folder / "remit.sock").write_text("precious")
    code, told = refused(folder)
    assert (code, "there is something else" in told) == (2, True)
    assert (folder / "remit.sock").read_text() == "precious"


def test_a_program_that_listens_there_is_left_alone(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "remit.sock"))
        other.listen()
        code, told = refused(folder)
    assert (code, "another program listens there" in told) == (2, True)


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (folder / "remit.toml").write_text(f'[server]\nlisten = ["127.0.0.1:{taken}"]\n')
        code, told = refused(folder)
    assert code == 2
    assert f"server.listen: 127.0.0.1:{taken}: cannot listen there: Address already" in told
    assert not (folder / "remit.sock").exists()


def test_a_faulty_start_is_refused_with_the_fault(folder: Path) -> None:
    (folder / "remit.yaml").write_text("remit: 2\n")
    code, told = refused(folder)
    assert (code, "remit.yaml:1" in told) == (1, True)
    (folder / "remit.toml").write_text("[sever]\n")
    code, told = refused(folder)
    assert (code, "did you mean server?" in told) == (2, True)


def test_check_starts_nothing(folder: Path) -> None:
    asked = [sys.executable, "-m", "remit", "serve", "--check", "--json"]
    good = subprocess.run(asked, cwd=folder, capture_output=True, check=False)
    assert good.returncode == 0
    assert json.loads(good.stdout)["ok"] is True
    assert not (folder / "remit.db").exists()
    shown = subprocess.run(asked[:-1], cwd=folder, capture_output=True, check=False)
    assert b"revision sha256:" in shown.stdout
    (folder / "remit.yaml").write_text("remit: 2\n")
    assert subprocess.run(asked, cwd=folder, capture_output=True, check=False).returncode == 1


def test_without_the_extra_it_says_what_to_install(folder: Path) -> None:
    blocked = "import sys; sys.modules['aiohttp'] = None; from remit.cli import main; main()"
    asked = [sys.executable, "-c", blocked, "serve"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'remit[server]'" in done.stderr


# TLS


def certificate(
    folder: Path, name: str, issuer: tuple[Any, Any] | None = None, uri: str | None = None
) -> tuple[Any, Any]:
    """A certificate and its key, also written to ``name.pem`` and ``name.key``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signer, signing = (subject, key) if issuer is None else (issuer[0].subject, issuer[1])
    alternatives: list[Any] = [x509.DNSName("localhost")]
    if uri is not None:
        alternatives = [x509.UniformResourceIdentifier(uri)]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    (folder / f"{name}.key").write_bytes(private)
    return made, key


@asynccontextmanager
async def trusting(folder: Path, shown: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cafile=str(folder / "root.pem"))
    if shown is not None:
        context.load_cert_chain(folder / f"{shown}.pem", folder / f"{shown}.key", "hunter2")
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def test_tls_with_and_without_a_client_certificate(folder: Path) -> None:
    root = certificate(folder, "root")
    certificate(folder, "server", root)
    certificate(folder, "bot", root, "spiffe://corp.com/agents/inventory-bot")
    stranger = certificate(folder, "stranger-root")
    certificate(folder, "stranger", stranger, "spiffe://corp.com/agents/inventory-bot")
    (folder / "remit.toml").write_text("""
[server]
listen = ["127.0.0.1:0"]
[server.tls]
certificate = "server.pem"
key = "server.key"
client_ca = "root.pem"
[[identity.certificates]]
spiffe = "spiffe://corp.com/agents/*"
rights = ["agent"]
""")
    environ = {"REMIT_TLS_KEY_PASSWORD": "hunter2"}
    with running(folder, environ=environ) as server:
        url = f"https://localhost:{port(server)}"
        who = f"{url}/v1/identity"
        async with trusting(folder) as session:
            assert (await session.get(f"{url}/livez")).status == 200
            assert (await session.get(who)).status == 401
        async with trusting(folder, "bot") as session:
            answer = await session.get(who)
            assert (answer.status, (await answer.json())["id"]) == (200, "inventory-bot")
        async with trusting(folder, "stranger") as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(who)
        with pytest.raises(OSError):
            await asyncio.to_thread(get, server, "/livez")

        certificate(folder, "server", root)
        server.process.send_signal(signal.SIGHUP)
        (folder / "server.pem").write_text("broken")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("certificate not taken")
        async with trusting(folder) as session:
            ready = await (await session.get(f"{url}/readyz")).json()
            assert (ready["status"], "tls" in ready["faults"]) == ("degraded", True)
        assert server.end() == 0


def test_tls_files_that_do_not_do(folder: Path) -> None:
    certificate(folder, "server")
    text = '[server]\nlisten = ["127.0.0.1:0"]\n'
    text += '[server.tls]\ncertificate = "server.pem"\nkey = "server.key"\n'
    (folder / "remit.toml").write_text(text)
    code, told = refused(folder)
    assert (code, "REMIT_TLS_KEY_PASSWORD" in told) == (2, True)


async def test_who_calls_over_the_socket_is_known(folder: Path) -> None:
    config = folder / "remit.toml"
    config.write_text(
        config.read_text() + f'[[identity.peers]]\nuid = {os.getuid()}\nprincipal = "ada"\n'
        'kind = "person"\nrights = ["reviewer"]\n'
    )
    with running(folder) as server:
        connector = aiohttp.UnixConnector(path=str(folder / "remit.sock"))
        async with aiohttp.ClientSession(connector=connector) as session:
            answer = await session.get("http://localhost/v1/identity")
            assert (answer.status, (await answer.json())["id"]) == (200, "ada")
        assert (await asyncio.to_thread(get, server, "/v1/identity"))[0] == 401
        assert server.end() == 0
