from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apprise
import pytest

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.notifier import AppriseNotifier, Notice, WebhookNotifier, verify_signature
from dagweave.testing import HttpFault
from dagweave.testing.rest import Reply, Request, RestServer

# Apprise imports what Python calls old.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NOTICE = Notice(
    summary="Op load on job nightly failed!",
    severity="error",
    dedup_key="nightly|load",
    job_name="nightly",
    op_name="load",
    run_id="0af3",
    assets=("raw/flights",),
    details="ValueError: <b>no rows</b> \ud800",
    link="http://ui/runs/0af3",
)


class Receiver(RestServer):
    """Takes whatever is posted to /hook."""

    service = "webhook"

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Request] = []

    def routes(self) -> Sequence[Any]:
        return [("POST", "/hook/s3cr3t-path", self._take)]

    def _take(self, request: Request) -> Reply:
        self.received.append(request)
        return Reply({"ok": True})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def hook(receiver: Receiver, **options: Any) -> WebhookNotifier:
    return WebhookNotifier(f"{receiver.url}/hook/s3cr3t-path", **options)


def test_a_notice_is_posted_with_what_became_of_it(receiver: Receiver):
    webhook = hook(receiver)

    handle = webhook.send(NOTICE)
    webhook.update(NOTICE, handle)
    webhook.resolve(NOTICE, handle)

    assert [each.body["event"] for each in receiver.received] == ["problem", "again", "resolved"]
    body = receiver.received[0].body
    assert body["summary"] == NOTICE.summary
    assert body["details"] == "ValueError: <b>no rows</b> ?"
    assert body["assets"] == ["raw/flights"]
    assert "x-dagweave-signature" not in receiver.received[0].headers


def test_a_signed_notice_is_known_to_be_ours(receiver: Receiver):
    hook(receiver, secret="shared-secret").send(NOTICE)

    [request] = receiver.received
    body = json.dumps(request.body, separators=(",", ":"), ensure_ascii=False).encode()
    verify_signature(body, request.headers, "shared-secret")
    with pytest.raises(InvalidInput, match="not signed with this secret"):
        verify_signature(body, request.headers, "another")
    with pytest.raises(InvalidInput, match="not signed with this secret"):
        verify_signature(body + b" ", request.headers, "shared-secret")
    with pytest.raises(InvalidInput, match="not signed with this secret"):
        verify_signature(body, {}, "shared-secret")
    with pytest.raises(InvalidInput, match="more than 300 s old"):
        verify_signature(body, _signed_long_ago(body), "shared-secret")


def _signed_long_ago(body: bytes) -> dict[str, str]:
    import hashlib
    import hmac

    digest = hmac.new(b"shared-secret", b"1." + body, hashlib.sha256).hexdigest()
    return {"x-dagweave-timestamp": "1", "x-dagweave-signature": f"sha256={digest}"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [(HttpFault.status(403), Refused), (HttpFault.status(500), Unavailable)],
)
def test_a_webhook_that_does_not_take_it_is_named_by_its_host_alone(
    receiver: Receiver, fault: HttpFault, error: type[Exception]
):
    receiver.inject(fault)

    with pytest.raises(error) as caught:
        hook(receiver, secret="shared-secret", max_retries=0).send(NOTICE)

    assert "not taken by the webhook at 127.0.0.1" in str(caught.value)
    assert "s3cr3t-path" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_webhook_that_hangs_is_given_up_on_in_time(receiver: Receiver):
    receiver.inject(HttpFault.slow(60))

    with pytest.raises(Unavailable, match="not taken by the webhook"):
        hook(receiver, timeout_s=0.2).send(NOTICE)

    assert len(receiver.calls) == 1


def test_an_empty_secret_is_no_secret_and_is_refused():
    with pytest.raises(InvalidInput, match="The secret of a webhook is empty"):
        WebhookNotifier("http://x/hook", secret="")
    with pytest.raises(InvalidInput, match="The secret of a webhook is empty"):
        verify_signature(b"{}", {}, "")


def test_a_secret_is_in_no_repr():
    assert "s3cr3t" not in repr(WebhookNotifier("http://x/s3cr3t", secret="s3cr3t"))
    assert "s3cr3t" not in repr(AppriseNotifier("mailto://me:s3cr3t@example.org"))


def test_apprise_brings_a_notice_to_its_service(receiver: Receiver):
    port = receiver.url.rpartition(":")[2]

    AppriseNotifier(f"json://127.0.0.1:{port}/hook/s3cr3t-path").send(NOTICE)

    [request] = receiver.received
    assert request.body["title"] == NOTICE.summary
    assert request.body["type"] == str(apprise.NotifyType.FAILURE.value)
    assert "Run ID: 0af3" in request.body["message"]
    assert "no rows" in request.body["message"]
    assert "http://ui/runs/0af3" in request.body["message"]


def test_a_service_that_does_not_take_it_is_told_without_its_secrets(receiver: Receiver):
    port = receiver.url.rpartition(":")[2]
    receiver.inject(HttpFault.status(500))

    with pytest.raises(Unavailable) as caught:
        AppriseNotifier(f"json://me:hunter2secret@127.0.0.1:{port}/hook/s3cr3t-path").send(NOTICE)

    assert "A notice was not taken by json://." in str(caught.value)
    assert "hunter2secret" not in str(caught.value)
    assert "s3cr3t-path" not in str(caught.value)


def test_an_address_that_apprise_does_not_know_is_told_without_it():
    with pytest.raises(InvalidInput, match="begins with pigeon://") as caught:
        AppriseNotifier("pigeon://hunter2secret").send(NOTICE)

    assert "hunter2secret" not in str(caught.value)
