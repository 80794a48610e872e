"""A server that answers as BigQuery does when things go wrong: what the emulator cannot be brought to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]
DROP: Answer = (0, None)
"""The connection ends without an answer."""


def error(status: int, reason: str, message: str) -> Answer:
    """How BigQuery refuses a request."""
    said = {"reason": reason, "message": message}
    return status, {"error": {"code": status, "message": message, "errors": [said]}}


def job(name: str, **more: Any) -> dict[str, Any]:
    """A job that is done."""
    return {
        "jobReference": {"projectId": "acme", "jobId": name, "location": "US"},
        "configuration": {"query": {"query": "SELECT 1"}, "jobType": "QUERY"},
        "status": {"state": "DONE", **more.pop("status", {})},
        "statistics": {"query": {"statementType": "MERGE", **more.pop("query", {})}},
        **more,
    }


@dataclass
class Answering:
    """What was asked; and who answers: by method and path, or the default."""

    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answer: Callable[[str, str, Any], Answer] = lambda method, path, body: (200, {})

    def begun(self) -> list[str]:
        """The names of the jobs that were sent, in order."""
        return [
            body["jobReference"]["jobId"]
            for method, path, body in self.asked
            if method == "POST" and path.endswith("/jobs")
        ]


@contextmanager
def answering() -> Iterator[Answering]:
    told = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw[:1] == b"{" else raw
            path = self.path.partition("?")[0]
            told.asked.append((self.command, path, body))
            status, said = told.answer(self.command, path, body)
            if not status:
                self.close_connection = True
                return
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
