"""Requests off the wire, and answers onto it. Knows HTTP, and nothing of Slack's methods."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from dagweave.testing.local import CONTENT_SECURITY_POLICY, Loopback
from dagweave.testing.slack.workspace import UPLOADS, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from dagweave.testing.slack.workspace import Answer

    Call: TypeAlias = Callable[[str, dict[str, Any], str | None], Answer | None]
    Upload: TypeAlias = Callable[[str, bytes], bool]
    Page: TypeAlias = Callable[[str], tuple[str, str] | None]

API = "/api/"


class Listener(Loopback):
    """Listens on a port of this machine, for nobody else.

    Args:
        call: Answers a method with its arguments and the token; `None` closes the connection
            without a word.
        page: The content type and the text of a page; `None` if there is none at that path.
        upload: Takes the content of a file, by its id; false if it takes none of that id.
    """

    def __init__(self, port: int, call: Call, page: Page, upload: Upload) -> None:
        self.upload = upload
        self.call = call
        self.page = page
        super().__init__(port, _Handler)


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
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path.startswith(API):
            self._call(path, body)
        elif path.startswith(UPLOADS):
            taken = self._listener.upload(path.removeprefix(UPLOADS), body)
            self._send(
                200 if taken else 400, "text/plain", f"{'OK' if taken else 'NO'} - {len(body)}"
            )
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
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
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
    for name in ("blocks", "attachments", "metadata", "files"):
        if name in arguments:
            try:
                arguments[name] = json.loads(arguments[name])
            except ValueError:
                return {}, "invalid_blocks_format" if name == "blocks" else "invalid_arguments"
    return arguments, None
