"""A server that answers a login and queries as it is told: what the emulator cannot be brought to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOGGED_IN: dict[str, Any] = {
    "data": {
        "token": "session-token-1",
        "masterToken": "master-token-1",
        "serverVersion": "9.0.0",
        "sessionId": 1,
        "validityInSeconds": 3600,
        "masterValidityInSeconds": 14400,
        "parameters": [{"name": "AUTOCOMMIT", "value": True}],
        "sessionInfo": {"databaseName": "DB", "schemaName": "PUBLIC"},
    },
    "success": True,
    "code": None,
    "message": None,
}

DONE: dict[str, Any] = {
    "data": {
        "parameters": [],
        "rowtype": [
            {
                "name": "status",
                "type": "text",
                "nullable": True,
                "length": 16,
                "byteLength": 16,
                "precision": None,
                "scale": None,
            }
        ],
        "rowset": [["done"]],
        "total": 1,
        "returned": 1,
        "queryId": "01b00000-0000-0000-0000-000000000001",
        "queryResultFormat": "json",
        "statementTypeId": 4096,
    },
    "success": True,
    "code": None,
    "message": None,
}


def failed(number: str, state: str, message: str) -> dict[str, Any]:
    """How Snowflake says that a statement, or a login, failed."""
    query = "01b00000-0000-0000-0000-000000000002"
    data = {"errorCode": number, "sqlState": state, "queryId": query, "internalError": False}
    return {"data": data, "code": number, "message": message, "success": False}


class Answering:
    """Its answers, by path: `login`, and `query` by the SQL. A number is an HTTP status."""

    def __init__(self) -> None:
        self.login: dict[str, Any] | int = LOGGED_IN
        self.query: Callable[[str], dict[str, Any] | int] = lambda sql: DONE
        self.heartbeat: dict[str, Any] | int = {"success": True, "data": None}
        self.logins: list[dict[str, Any]] = []
        self.statements: list[str] = []
        self.logouts = 0
        self.heartbeats = 0
        self.url = ""

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | int:
        if "login-request" in path:
            self.logins.append(body["data"])
            return self.login
        if "query-request" in path:
            self.statements.append(body["sqlText"])
            return self.query(body["sqlText"])
        if "heartbeat" in path:
            self.heartbeats += 1
            return self.heartbeat
        if "delete=true" in path:
            self.logouts += 1
        return {"success": True, "data": None, "code": None, "message": None}


@contextmanager
def answering() -> Iterator[Answering]:
    told = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            answer = told.answer(self.path, json.loads(raw or b"{}"))
            status, said = (answer, {}) if isinstance(answer, int) else (200, answer)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

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
