"""What every local server has: a port of this machine, for nobody else, and a life in `with`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Self

from dagweave._kernel.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from types import TracebackType

# The pages show foreign text: whatever slips through runs nothing and fetches nothing.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Loopback(ThreadingHTTPServer):
    """Listens on a port of this machine, for nobody else."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", port), handler)

    def server_bind(self) -> None:
        """Bind without asking for the machine's name, which takes seconds where no DNS answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.socket.getsockname()[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that hangs up early is what some tests are about."""


class LocalServer:
    """A server that is started and stopped, by itself or in `with`."""

    service: str
    """Whose place it takes, in errors."""

    def __init__(self, port: int) -> None:
        self._asked_port = port
        self._stopping = threading.Event()
        self._http: Loopback | None = None
        self._thread: threading.Thread | None = None

    def _listener(self, port: int) -> Loopback:
        """Make what listens."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Do what must be done before anything is heard."""

    def start(self) -> Self:
        """Listen, and return this server.

        A server that runs is left as it is.

        Raises:
            Unavailable: Something else listens on the port.
        """
        if self._http is not None:
            return self
        self._prepare()
        self._stopping.clear()
        try:
            self._http = self._listener(self._asked_port)
        except OSError as error:
            raise Unavailable(
                f"The local {self.service} server cannot listen on port {self._asked_port}.",
                seen=str(error),
                remedy="Stop what listens there, or choose another port; 0 takes any free one.",
            ) from error
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening. Requests that wait are let go. May be called twice."""
        self._stopping.set()
        if self._http and self._thread:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
        self._http = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def origin(self) -> str:
        """The address of the server, without a trailing slash."""
        if self._http is None:
            raise InvalidInput(
                f"The local {self.service} server is not running.",
                remedy="Call start(), or use it in `with`.",
            )
        return f"http://127.0.0.1:{self._http.server_port}"
