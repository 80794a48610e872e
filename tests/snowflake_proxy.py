"""A server between a client and Snowflake (or its emulator), which counts, and can lose an answer."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Between:
    """What passed, and what shall not pass.

    `lost_before` and `lost_after` begin statements over which the connection breaks: before they
    reach Snowflake, or after it has run them.
    """

    def __init__(self, at: dict[str, Any]) -> None:
        self.at = at
        self.logins = 0
        self.statements: list[str] = []
        self.lost_before: str | None = None
        self.lost_after: str | None = None
        self.url = ""
        self._done: set[str] = set()

    def passes(self, path: str, body: bytes, zipped: str | None) -> bool:
        """Note a request; tell whether it is to reach Snowflake."""
        if "login-request" in path:
            self.logins += 1
        if "query-request" not in path:
            return True
        sql = json.loads(gzip.decompress(body) if zipped else body)["sqlText"]
        request = path.partition("requestId=")[2].partition("&")[0]
        again = request in self._done
        self._done.add(request)
        if not again:
            self.statements.append(sql)
        self.answered = not (self.lost_after and sql.startswith(self.lost_after))
        broken = self.lost_before and sql.startswith(self.lost_before)
        # Snowflake knows a request that is sent again by its id; the emulator does not.
        return not broken and not (again and not self.answered)

    answered = True


@contextmanager
def between(at: dict[str, Any]) -> Iterator[Between]:
    told = Between(at)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                passes = told.passes(self.path, body, self.headers.get("Content-Encoding"))
                answered = told.answered or "query-request" not in self.path
            if passes:
                status, headers, content = self._forwarded(body)
            if not (passes and answered):
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST  # noqa: N815

        def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            onward = http.client.HTTPConnection(told.at["host"], told.at["port"], timeout=60)
            try:
                onward.request(self.command, self.path, body, dict(self.headers))
                answer = onward.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                onward.close()

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, ValueError):
                # The connection that was broken on purpose.
                return

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
