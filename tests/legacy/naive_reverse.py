"""A reverse proxy as they are often written: a rule on the start of the path, then bytes pass."""

from __future__ import annotations

import socket
import threading
from urllib.parse import unquote


class NaiveProxy:
    """Lets through what begins with a path that is allowed, and relays the connection from then."""

    def __init__(self, port: int, allowed: str) -> None:
        self._port = port
        self._allowed = allowed
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                opened, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(opened,), daemon=True).start()

    def _relay(self, opened: socket.socket) -> None:
        with opened, socket.create_connection(("127.0.0.1", self._port)) as behind:
            opened.settimeout(0.1)
            behind.settimeout(0.1)
            try:
                data = opened.recv(1 << 20)
                first = data.partition(b"\r\n")[0].decode("latin-1")
                target = first.split(" ")[1]
                if target.startswith(self._allowed):
                    inner = unquote(target).replace("\\", "/").removeprefix("/legacy/up")
                    behind.sendall(data.replace(target.encode("latin-1"), inner.encode(), 1))
                    opened.sendall(behind.recv(65536))
                    while part := behind.recv(65536):
                        opened.sendall(part)
                else:
                    opened.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                return
