"""A token endpoint (OAuth 2.0) that remembers what it was asked."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class TokenServer:
    """Gives a new token at each request; refresh tokens are good once, as many servers have it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.answer: tuple[int, Any] | None = None
        """Instead of a token: status and body."""
        self.life: Any = 3600
        outer = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                client = base64.b64decode(self.headers["Authorization"].split()[1]).decode()
                outer.asked.append({**form, "client": client})
                status, said = outer.answer or (200, outer.token())
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Quietly."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def token(self) -> dict[str, Any]:
        number = len(self.asked)
        return {
            "access_token": f"token-{number}-abc",
            "expires_in": self.life,
            "refresh_token": f"refresh-{number}",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
