"""Requests off the wire, and answers onto it. Knows HTTP, and nothing of Slack's methods."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from dagweave.testing.slack.workspace import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from dagweave.testing.slack.workspace import Answer

    Call: TypeAlias = Callable[[str, dict[str, Any], str | None], Answer | None]
    Page: TypeAlias = Callable[[str], tuple[str, str] | None]

API = "/api/"

# The pages show foreign text: whatever slips through runs nothing and fetches nothing.
_CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Listener(ThreadingHTTPServer):
    """Listens on a port of this machine, for nobody else.

    Args:
        call: Answers a method with its arguments and the token; `None` closes the connection
            without a word.
        page: The content type and the text of a page; `None` if there is none at that path.
    """

    daemon_threads = True

    def __init__(self, port: int, call: Call, page: Page) -> None:
        self.call = call
        self.page = page
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the machine's name, which takes seconds where no DNS answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.socket.getsockname()[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that hangs up early is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(API):
            self._call(path, b"")
            return
        found = self._listener.page(path)
        kind, text = found or ("text/plain", f"There is / and /inbox.json, and {API}<method>.")
        self._send(200 if found else 404, kind, text)

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith(API):
            self._call(path, body)
        else:
            self._send(404, "text/plain", f"The methods of the API are under {API}.")

    @property
    def _listener(self) -> Listener:
        return cast("Listener", self.server)

    def _call(self, path: str, body: bytes) -> None:
        arguments: dict[str, Any] = dict(
            parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        )
        posted, wrong = _arguments(self.headers.get("Content-Type") or "", body)
        arguments |= posted
        scheme, _, bearer = (self.headers.get("Authorization") or "").partition(" ")
        token = bearer if scheme.lower() == "bearer" else arguments.pop("token", None)
        method = path.removeprefix(API)
        answer = refusal(wrong) if wrong else self._listener.call(method, arguments, token)
        if answer is None:
            self.close_connection = True
        elif answer.body:
            shown = json.dumps(answer.body)
            self._send(answer.status, "application/json", shown, answer.headers)
        else:
            self._send(answer.status, "text/html", "<html>Slack is having trouble.</html>")

    def _send(
        self, status: int, kind: str, text: str, headers: dict[str, str] | None = None
    ) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name it has
        """Nothing: what arrives is in the inbox."""


def _arguments(content_type: str, body: bytes) -> tuple[dict[str, Any], str | None]:
    """The arguments in a request's body, or Slack's code for what is wrong with it."""
    if not body:
        return {}, None
    kind = content_type.partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if kind == "application/json":
        return _from_json(text)
    if kind == "application/x-www-form-urlencoded":
        return _from_form(text)
    return {}, "invalid_post_type" if kind else "missing_post_type"


def _from_json(text: str) -> tuple[dict[str, Any], str | None]:
    try:
        decoded: object = json.loads(text)
        # Half a character, which JSON can spell and nothing can show.
        json.dumps(decoded, ensure_ascii=False).encode()
    except ValueError:
        return {}, "invalid_json"
    if not isinstance(decoded, dict):
        return {}, "json_not_object"
    return cast("dict[str, Any]", decoded), None


def _from_form(text: str) -> tuple[dict[str, Any], str | None]:
    arguments: dict[str, Any] = dict(parse_qsl(text, keep_blank_values=True))
    # In a form, what has structure is JSON within it.
    for name in ("blocks", "attachments", "metadata"):
        if name in arguments:
            try:
                arguments[name] = json.loads(arguments[name])
            except ValueError:
                return {}, "invalid_blocks_format" if name == "blocks" else "invalid_arguments"
    return arguments, None
