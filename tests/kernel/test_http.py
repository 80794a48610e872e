from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dagweave._kernel.budget import RateBudget
from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave._kernel.gather import gather
from dagweave._kernel.http import HttpClient
from dagweave.testing import FakeClock

OK = (200, b'{"rows": 12}', {})
DROP = "close the connection"
HANG = "say nothing"
HALF = "say half of it"


@dataclass
class Service:
    """A server that answers as it is told, in order, and then always with `OK`."""

    answers: list[Any] = field(default_factory=list)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    port: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            service.requests.append((self.command, self.path, body))
            service.connections.add(self.client_address)
            answer = service.answers.pop(0) if service.answers else OK
            if answer == HANG:
                service.stopping.wait(30)
            if answer in (DROP, HANG):
                self.close_connection = True
                return
            status, content, headers = OK if answer == HALF else answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + (answer == HALF) * 10))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = answer == HALF

        do_GET = do_POST = answer  # noqa: N815 -- the names that http.server looks for

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield service
    service.stopping.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(service: Service, fake_clock: FakeClock) -> Iterator[HttpClient]:
    client = HttpClient(service.url, "Acme", clock=fake_clock)
    yield client
    client.close()


def test_an_answer_is_decoded(client: HttpClient, service: Service):
    assert client.get_json("/rows", params={"q": "a b"}) == {"rows": 12}
    assert service.requests == [("GET", "/rows?q=a+b", b"")]


def test_a_body_is_sent_as_json(client: HttpClient, service: Service):
    client.request("POST", "/rows", json={"a": [1]})

    [(_, _, body)] = service.requests
    assert json.loads(body) == {"a": [1]}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_reported_at_once_in_the_servers_words(
    client: HttpClient, service: Service, fake_clock: FakeClock, status: int
):
    service.answers = [(status, b"no such job", {})]

    with pytest.raises(Refused) as caught:
        client.get_json("/jobs/1")

    assert str(caught.value) == (
        f"Acme refused GET /jobs/1.\n  HTTP {status}: no such job\n"
        "  Not retried: the answer would be the same."
    )
    assert len(service.requests) == 1
    assert fake_clock.slept == []


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_what_may_pass_is_asked_again(
    client: HttpClient, service: Service, fake_clock: FakeClock, status: int
):
    service.answers = [(status, b"", {}), (status, b"", {})]

    assert client.get_json("/rows") == {"rows": 12}
    assert len(service.requests) == 3
    assert len(fake_clock.slept) == 2


@pytest.mark.parametrize("trouble", [DROP, HALF])
def test_a_lost_connection_is_made_again(client: HttpClient, service: Service, trouble: str):
    service.answers = [trouble]

    assert client.get_json("/rows") == {"rows": 12}


def test_patience_ends_after_so_many_attempts_and_the_last_cause_is_told(
    client: HttpClient, service: Service, fake_clock: FakeClock
):
    service.answers = [(503, b"first", {}), DROP, DROP, (502, b"last", {})]

    with pytest.raises(Unavailable) as caught:
        client.get_json("/rows")

    assert "Acme did not answer GET /rows (4 attempt(s) made)." in str(caught.value)
    assert "HTTP 502: last" in str(caught.value)
    assert service.url in str(caught.value)
    assert len(fake_clock.slept) == 3


def test_pauses_grow(client: HttpClient, service: Service, fake_clock: FakeClock):
    client.attempts = 8
    service.answers = [(503, b"", {})] * 7

    client.get_json("/rows")

    full = [min(10.0, 0.2 * 2**n) for n in range(7)]
    assert all(f / 2 <= slept <= f for f, slept in zip(full, fake_clock.slept, strict=True))


def in_(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "shortest", "longest"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("86400", 60, 60),
        (in_(3600), 60, 60),
        (in_(-3600), 0, 0),
        ("soon", 0.1, 0.2),
        ("", 0.1, 0.2),
        ("-5", 0.1, 0.2),
    ],
    ids=["seconds", "none", "a day", "a date", "a date gone by", "a word", "nothing", "negative"],
)
def test_the_pause_is_what_the_server_asks_for_within_reason(
    client: HttpClient,
    service: Service,
    fake_clock: FakeClock,
    retry_after: str,
    shortest: float,
    longest: float,
):
    service.answers = [(429, b"", {"Retry-After": retry_after})]

    client.get_json("/rows")

    [slept] = fake_clock.slept
    assert shortest <= slept <= longest


@pytest.mark.parametrize("answer", [(500, b"", {}), (502, b"", {}), DROP])
def test_a_post_that_may_have_been_acted_on_is_not_made_again(
    client: HttpClient, service: Service, answer: object
):
    service.answers = [answer]

    with pytest.raises(Unavailable, match=r"1 attempt\(s\)"):
        client.request("POST", "/jobs", json={})

    assert len(service.requests) == 1


@pytest.mark.parametrize("trouble", [DROP, HALF, (500, b"", {})])
def test_a_post_that_does_nothing_twice_is_made_again(
    client: HttpClient, service: Service, trouble: Any
):
    service.answers = [trouble]

    client.request("POST", "/events", json={"id": 1}, repeatable=True)

    assert len(service.requests) == 2


def test_a_body_is_sent_as_it_is(client: HttpClient, service: Service):
    client.request("POST", "/events", body=b"\x00raw")

    assert service.requests == [("POST", "/events", b"\x00raw")]


@pytest.mark.parametrize("status", [429, 503])
def test_a_post_that_was_not_acted_on_is_made_again(
    client: HttpClient, service: Service, status: int
):
    service.answers = [(status, b"", {})]

    assert client.request("post", "/jobs", json={}).ok
    assert len(service.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_where_nothing_listens_any_request_is_made_again_for_none_was_sent(
    fake_clock: FakeClock, method: str
):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        client = HttpClient(f"http://127.0.0.1:{held.getsockname()[1]}", "Acme", clock=fake_clock)

        with pytest.raises(Unavailable, match="Connection refused") as caught:
            client.request(method, "/jobs")

    assert len(fake_clock.slept) == 3
    assert "Max retries" not in str(caught.value)
    assert "object at" not in str(caught.value)


def test_a_server_that_hangs_is_given_up_on(service: Service, fake_clock: FakeClock):
    service.answers = [HANG, HANG]
    client = HttpClient(service.url, "Acme", timeout_s=0.2, attempts=2, clock=fake_clock)

    with pytest.raises(Unavailable, match="Read timed out"):
        client.get_json("/rows")

    assert len(service.requests) == 2


def test_an_answer_that_is_not_json_is_shown(client: HttpClient, service: Service):
    service.answers = [(200, b"<html>Please log in</html>", {})]

    with pytest.raises(Unavailable) as caught:
        client.get_json("/rows")

    assert "Acme answered GET /rows with something that is not JSON." in str(caught.value)
    assert "Please log in" in str(caught.value)


def test_a_long_answer_is_not_shown_whole(client: HttpClient, service: Service):
    service.answers = [(400, b"x" * 100_000, {})]

    with pytest.raises(Refused) as caught:
        client.get_json("/rows")

    assert len(str(caught.value)) < 1_000


def test_a_secret_in_an_answer_or_an_address_is_not_shown(client: HttpClient, service: Service):
    service.answers = [(400, b'{"api_key": "hunter22"}', {})]

    with pytest.raises(Refused) as caught:
        client.request("GET", "/rows?access_token=swordfish")

    assert "hunter22" not in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize("url", ["acme.example", "http://", "http://[::bad"])
def test_what_is_no_address_is_not_asked(url: str, fake_clock: FakeClock):
    with pytest.raises(InvalidInput, match="no address to ask Acme at"):
        HttpClient(url, "Acme", clock=fake_clock).get_json("/rows")

    assert fake_clock.slept == []


def test_a_server_without_the_promised_encryption_is_not_asked_again(
    service: Service, fake_clock: FakeClock
):
    client = HttpClient(service.url.replace("http:", "https:"), "Acme", clock=fake_clock)

    with pytest.raises(Unavailable, match="SSL"):
        client.get_json("/rows")

    assert fake_clock.slept == []


def test_requests_share_a_connection(client: HttpClient, service: Service):
    for _ in range(5):
        client.get_json("/rows")

    assert len(service.connections) == 1


def test_threads_can_share_a_client(client: HttpClient):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.get_json(f"/rows/{n}"), range(64)))

    assert answers == [{"rows": 12}] * 64


def test_a_closed_client_opens_again(client: HttpClient, service: Service):
    client.get_json("/rows")
    client.close()
    client.close()

    assert client.get_json("/rows") == {"rows": 12}
    assert len(service.connections) == 2


def test_headers_are_asked_for_anew_for_each_attempt_and_secrets_are_not_shown(service: Service):
    service.answers = [(503, b"", {}), (401, b'{"message": "bad key s3cr3t-key"}', {})]
    given: list[str] = []

    def headers() -> dict[str, str]:
        given.append("asked")
        return {"Authorization": "Basic s3cr3t-key"}

    client = HttpClient(
        service.url, "Service", headers=headers, secrets=["s3cr3t-key"], clock=FakeClock()
    )
    with pytest.raises(Refused) as refused:
        client.get_json("/rows")

    assert refused.value.status == 401
    assert len(given) == 2
    assert "s3cr3t" not in f"{refused.value}{client!r}"


def test_a_retry_after_is_kept_by_all_who_share_the_budget(service: Service):
    service.answers = [(429, b"", {"Retry-After": "20"})]
    clock = FakeClock()
    budget = RateBudget(clock=clock)
    one, other = (HttpClient(service.url, "S", budget=budget, clock=clock) for _ in range(2))

    assert one.get_json("/rows") == {"rows": 12}
    assert clock.slept == [0.0, 20.0]
    budget.close_for(7)
    assert other.get_json("/rows") == {"rows": 12}
    assert clock.slept[-1] == 7.0


def test_a_limit_that_is_used_up_for_an_hour_is_reported_and_nobody_asks_meanwhile(
    service: Service,
):
    service.answers = [(429, b"", {"Retry-After": "3600"})]
    clock = FakeClock()
    client = HttpClient(service.url, "S", budget=RateBudget(clock=clock), clock=clock)

    for _ in range(2):
        with pytest.raises(Unavailable, match=r"another \d+ s"):
            client.get_json("/rows")
    assert len(service.requests) == 1
    clock.advance(3600)
    assert client.get_json("/rows") == {"rows": 12}


def test_the_last_tenth_of_an_allowance_is_spent_as_it_comes_back(service: Service):
    left = {"X-Rate-Limit": "500", "X-Rate-Limit-Remaining": "12"}
    service.answers = [(200, b"{}", left)] * 3
    clock = FakeClock()
    client = HttpClient(service.url, "S", budget=RateBudget(clock=clock), clock=clock)

    for _ in range(3):
        client.get_json("/rows")

    assert sum(clock.slept) == pytest.approx(3600 / 500)


def test_results_are_gathered_in_order_and_nothing_is_begun_after_an_error():
    begun: list[int] = []

    def work(n: int) -> int:
        begun.append(n)
        if n == 3:
            raise ValueError("three")
        return n * n

    assert list(gather(work, [1, 2], threads=8)) == [1, 4]
    with pytest.raises(ValueError, match="three"):
        list(gather(work, range(3, 500), threads=2))
    assert len(begun) < 400
