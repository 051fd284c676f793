import os
import pwd
import socket
import subprocess
import sys

import msgspec
import pytest

from remit.credentials import Right
from remit.errors import AuthenticationError, ConfigError
from remit.identity import Peer
from remit.identity.peers import PeerDirectory, peer_of
from remit.identity.settings import PeerRule

ME = os.getuid()
CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.connect(sys.argv[1])
    s.recv(1)
"""
MY_NAME = pwd.getpwuid(ME).pw_name


def directory(*entries):
    return PeerDirectory(msgspec.convert(entries, tuple[PeerRule, ...]))


def test_a_real_socket_says_who_is_at_the_other_end(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client.connect(str(tmp_path / "s"))
        accepted, _ = listener.accept()
        with accepted:
            assert peer_of(accepted) == Peer(os.getpid(), ME, os.getgid())
            known = directory({"uid": ME, "principal": "inventory-bot", "rights": ["agent"]})
            assert known.identify(peer_of(accepted)).principal.id == "inventory-bot"


def test_other_sockets_say_nothing():
    with socket.socket(socket.AF_INET) as other:
        assert peer_of(other) is None


def test_another_process_is_seen_as_itself(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        command = [sys.executable, "-c", CONNECT, str(tmp_path / "s")]
        with subprocess.Popen(command) as child:
            accepted, _ = listener.accept()
            with accepted:
                assert peer_of(accepted).pid == child.pid
                accepted.send(b"x")


def test_whom_a_user_stands_for():
    known = directory(
        {"user": MY_NAME, "principal": "ada", "kind": "person", "rights": ["reviewer"]},
        {
            "uid": 4_000_000_000,
            "principal": "mesh",
            "kind": "service",
            "rights": ["agent"],
            "agents": ["inventory-bot"],
            "roles": ["r"],
            "team": "t",
        },
    )
    me = known.identify(Peer(1, ME, 1))
    assert (me.principal.id, me.rights, me.credential) == ("ada", {Right.REVIEWER}, f"uid:{ME}")
    mesh = known.identify(Peer(1, 4_000_000_000, 1))
    assert (mesh.agents, mesh.principal.roles, mesh.principal.team) == (
        ("inventory-bot",),
        ("r",),
        "t",
    )
    with pytest.raises(AuthenticationError, match="4000000001"):
        known.identify(Peer(1, 4_000_000_001, ME))


def test_rules_that_cannot_be():
    with pytest.raises(ConfigError, match="no user 'nobody-of-that-name'"):
        directory({"user": "nobody-of-that-name", "principal": "x"})
    with pytest.raises(ConfigError, match="same user"):
        directory({"uid": ME, "principal": "x"}, {"user": MY_NAME, "principal": "y"})
