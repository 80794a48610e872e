"""What the local servers of REST services have in common: HTTP, faults, and a record of calls."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from dagweave.testing.local import LocalServer, Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Request:
    """A request off the wire; `body` is what its JSON or its form says, or `None`."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: Any

    def one(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        return self.query.get(name, [default])[-1]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server says: JSON, or plain bytes; `None` closes the connection without a word."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class HttpFault:
    """A way in which one request goes wrong. Made by the class methods.

    Attributes:
        reply: What is said in place of the true answer.
        accepted: Whether the request takes effect nevertheless.
        wait_s: How long nothing is said, in seconds.
        lost: Whether the connection closes without a word.
    """

    reply: Reply | None = None
    accepted: bool = False
    wait_s: float = 0.0
    lost: bool = False

    @classmethod
    def status(cls, status: int, body: object = b"<html>trouble</html>") -> HttpFault:
        """The service answers with this status, and does nothing."""
        return cls(Reply(body, status))

    @classmethod
    def rate_limited(cls, retry_after_s: int | None = 1) -> HttpFault:
        """The service answers 429, and names the seconds to wait, or none."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return cls(Reply({"code": "TooManyRequests", "message": "Slow down."}, 429, headers))

    @classmethod
    def slow(cls, seconds: float) -> HttpFault:
        """The service does as asked, and says so only after `seconds`."""
        return cls(accepted=True, wait_s=seconds)

    @classmethod
    def disconnected(cls) -> HttpFault:
        """The connection closes before the service does anything."""
        return cls(lost=True)

    @classmethod
    def reply_lost(cls) -> HttpFault:
        """The service does as asked, and the connection closes before it can say so."""
        return cls(accepted=True, lost=True)


Handler: TypeAlias = "Callable[..., Reply]"
Route: TypeAlias = "tuple[str, str, Handler]"


class RestServer(LocalServer):
    """A REST service on a port of this machine. Subclasses say what it answers.

    Args:
        port: The port to listen on; 0 for any that is free.
        latency_s: How long each answer takes at least, in seconds.
    """

    service = "REST"

    def __init__(self, *, port: int = 0, latency_s: float = 0.0) -> None:
        super().__init__(port)
        self.calls: list[str] = []
        """The method and path of every request that was made, answered or not, in order."""
        self.latency_s = latency_s
        self.lock = threading.RLock()
        self._faults: list[tuple[re.Pattern[str], HttpFault]] = []
        self._routes = [(m, re.compile(path), handler) for m, path, handler in self.routes()]

    def routes(self) -> Sequence[Route]:
        """Method, pattern of the path, and what answers it, given the request and the groups."""
        raise NotImplementedError

    def refuse(self, request: Request) -> Reply | None:
        """What is said to a request that is not let in at all."""
        del request
        return None

    @property
    def url(self) -> str:
        """The address of the server, without a trailing slash."""
        return self.origin

    def _listener(self, port: int) -> Loopback:
        return _Listener(port, self._call)

    def inject(self, fault: HttpFault, *, times: int = 1, on: str = "") -> None:
        """Let the next `times` requests go wrong, after those already to go wrong.

        Args:
            on: Only requests whose `METHOD /path` this regular expression finds a match in.
        """
        with self.lock:
            self._faults.extend([(re.compile(on), fault)] * times)

    def called(self, pattern: str) -> int:
        """How many requests were made whose `METHOD /path` the regular expression matches."""
        return sum(bool(re.search(pattern, call)) for call in self.calls)

    def _call(self, request: Request) -> Reply | None:
        line = f"{request.method} {request.path}"
        with self.lock:
            self.calls.append(line)
            fault = self._next_fault(line)
            reply = fault.reply if not fault.accepted else self._answer(request)
        if wait_s := fault.wait_s + self.latency_s:
            self._stopping.wait(wait_s)
        return None if fault.lost else reply

    def _next_fault(self, line: str) -> HttpFault:
        for index, (pattern, fault) in enumerate(self._faults):
            if pattern.search(line):
                del self._faults[index]
                return fault
        return HttpFault(accepted=True)

    def _answer(self, request: Request) -> Reply:
        if refusal := self.refuse(request):
            return refusal
        for method, pattern, handler in self._routes:
            if method == request.method and (found := pattern.fullmatch(request.path)):
                return handler(request, *map(unquote, found.groups()))
        return Reply({"code": "NotFound", "message": f"There is no {request.path}."}, 404)


class _Listener(Loopback):
    def __init__(self, port: int, call: Callable[[Request], Reply | None]) -> None:
        self.call = call
        super().__init__(port, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        body = _decoded(self.headers.get("Content-Type") or "", content)
        request = Request(
            self.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        reply = cast("_Listener", self.server).call(request)
        if reply is None:
            self.close_connection = True
            return
        plain = isinstance(reply.body, bytes)
        sent = cast("bytes", reply.body) if plain else json.dumps(reply.body).encode()
        headers = {
            "Content-Type": "text/html" if plain else "application/json",
            "Content-Length": str(len(sent)),
            **reply.headers,
        }
        head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        # In one piece: in two, the second waits for an acknowledgement of the first.
        self.wfile.write(f"{head}{lines}\r\n".encode() + sent)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815 -- names it looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name it has
        """Nothing: what arrives is in `calls`."""


def _decoded(kind: str, content: bytes) -> Any:
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
