from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dagster as dg
import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.slack import SlackResource, slack_on_failure, slack_on_success
from dagweave.testing import Fault, SlackServer

CHANNEL = "#data-alerts"


@dg.op
def breaks() -> None:
    raise ValueError("no rows on 2013-02-30")


@dg.op
def works() -> int:
    return 1


@dataclass
class Desk:
    """Runs things with a Slack resource, and reads what was logged."""

    server: SlackServer
    instance: dg.DagsterInstance
    slack: SlackResource

    def run(self, job: dg.JobDefinition, **options: object) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=self.instance,
            resources={"slack": self.slack},
            raise_on_error=False,
            **options,  # pyright: ignore[reportArgumentType] -- the test's own keywords
        )

    def errors(self, result: dg.ExecuteInProcessResult) -> list[str]:
        return [
            entry.user_message
            for entry in self.instance.all_logs(result.run_id)
            if not entry.is_dagster_event and entry.level >= 40
        ]


@pytest.fixture
def desk(slack_server: SlackServer) -> Iterator[Desk]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Desk(slack_server, instance, SlackResource(token=slack_server.token, max_retries=0))


def job_of(op: dg.OpDefinition, *hooks: dg.HookDefinition) -> dg.JobDefinition:
    @dg.job(hooks=set(hooks), name="nightly")
    def nightly() -> None:
        op()

    return nightly


def test_a_failed_op_is_posted(desk: Desk):
    job = job_of(breaks, slack_on_failure(CHANNEL, webserver_base_url="http://localhost:3000"))

    result = desk.run(job)

    [message] = desk.server.inbox
    assert message.channel == CHANNEL
    assert message.text == (
        f"Op breaks on job nightly failed!\nRun ID: {result.run_id}\n"
        "```\nValueError: no rows on 2013-02-30\n```\n"
        f"<http://localhost:3000/runs/{result.run_id}|View in Dagster UI>"
    )
    assert desk.errors(result) == []


def test_a_succeeded_op_is_posted(desk: Desk):
    result = desk.run(job_of(works, slack_on_success(CHANNEL), slack_on_failure(CHANNEL)))

    assert [m.text for m in desk.server.inbox] == [
        f"Op works on job nightly succeeded!\nRun ID: {result.run_id}"
    ]


def test_a_hook_decorates_a_job_as_with_the_official_package(desk: Desk):
    @slack_on_failure(CHANNEL)
    @dg.job
    def nightly() -> None:
        breaks()

    desk.run(nightly)

    assert len(desk.server.inbox) == 1


def test_a_hook_goes_on_one_op_of_a_job(desk: Desk):
    @dg.job
    def nightly() -> None:
        works()
        breaks.with_hooks({slack_on_failure("#one"), slack_on_failure("#two")})()

    desk.run(nightly)

    assert sorted(message.channel for message in desk.server.inbox) == ["#one", "#two"]


def test_a_message_function_writes_the_message_and_the_link_is_added(desk: Desk):
    hook = slack_on_failure(
        CHANNEL,
        message_fn=lambda context: f"*{context.op.name}* broke: {context.op_exception}",
        webserver_base_url="http://localhost:3000",
    )

    result = desk.run(job_of(breaks, hook))

    [message] = desk.server.inbox
    assert message.text == (
        "*breaks* broke: no rows on 2013-02-30\n"
        f"<http://localhost:3000/runs/{result.run_id}|View in Dagster UI>"
    )


def test_the_old_name_of_the_base_url_works_with_a_warning(desk: Desk):
    with pytest.warns(DeprecationWarning, match="write webserver_base_url instead") as caught:
        hook = slack_on_failure(CHANNEL, dagit_base_url="http://localhost:3000")

    desk.run(job_of(breaks, hook))

    assert "<http://localhost:3000/runs/" in desk.server.inbox[0].text
    assert caught[0].filename == __file__


def test_both_names_of_the_base_url_at_once_are_refused():
    with pytest.raises(InvalidInput, match="webserver_base_url alone"):
        slack_on_success(CHANNEL, dagit_base_url="http://a", webserver_base_url="http://b")


@dg.asset(hooks={slack_on_failure(CHANNEL)})
def hooked() -> None:
    raise ValueError("no rows")


@dg.asset
def plain() -> None:
    raise ValueError("no rows")


def materialize(desk: Desk, trigger: str) -> None:
    """Materialize both assets, as the job `nightly` does, or as the UI does."""
    nightly = dg.define_asset_job("nightly", selection="*", hooks={slack_on_failure("#job")})
    defs = dg.Definitions([hooked, plain], jobs=[nightly], resources={"slack": desk.slack})
    # The UI, backfills and automation all run Dagster's own job of all assets.
    job = defs.resolve_job_def("nightly" if trigger == "by its job" else "__ASSET_JOB")
    job.execute_in_process(instance=desk.instance, raise_on_error=False)


@pytest.mark.parametrize("trigger", ["by its job", "from the UI"])
def test_a_hook_of_an_asset_fires_however_the_asset_is_materialized(desk: Desk, trigger: str):
    materialize(desk, trigger)

    assert [message.channel for message in desk.server.inbox].count(CHANNEL) == 1


def test_a_hook_of_a_job_fires_for_every_asset_when_the_job_runs(desk: Desk):
    materialize(desk, "by its job")

    told = [m.text.splitlines()[0] for m in desk.server.inbox if m.channel == "#job"]
    assert sorted(told) == [
        "Op hooked on job nightly failed!",
        "Op plain on job nightly failed!",
    ]


def test_a_hook_of_a_job_does_not_fire_for_assets_that_are_materialized_from_the_ui(desk: Desk):
    materialize(desk, "from the UI")

    assert {message.channel for message in desk.server.inbox} == {CHANNEL}


def test_a_bare_hook_that_reads_the_resource_posts_nothing_and_breaks_the_run(desk: Desk):
    @dg.success_hook
    def bare(context: dg.HookContext) -> None:
        context.resources.slack.get_client().chat_postMessage(channel=CHANNEL, text="done")

    result = desk.run(job_of(works, bare))

    assert not result.success
    assert "DagsterUnknownResourceError" in str(result.all_events[-1].event_specific_data)
    assert desk.server.inbox == []


def test_a_failure_hook_that_declares_the_resource_posts(desk: Desk):
    @dg.failure_hook(required_resource_keys={"slack"})
    def declared(context: dg.HookContext) -> None:
        context.resources.slack.get_client().chat_postMessage(channel=CHANNEL, text="failed")

    desk.run(job_of(breaks, declared))

    assert [message.text for message in desk.server.inbox] == ["failed"]


def refuses(desk: Desk) -> None:
    desk.slack = SlackResource(token="xoxb-of-another-workspace", max_retries=0)


def archives(desk: Desk) -> None:
    desk.server.add_channel(CHANNEL, archived=True)


def finds_no_block_valid(desk: Desk) -> None:
    desk.server.inject(Fault.refused("invalid_blocks"), times=2)


def is_rate_limited(desk: Desk) -> None:
    desk.server.inject(Fault.rate_limited(retry_after_s=1))


def hangs(desk: Desk) -> None:
    desk.server.inject(Fault.slow(60))
    desk.slack = SlackResource(token=desk.server.token, timeout_s=0.2)


def hangs_up(desk: Desk) -> None:
    desk.server.inject(Fault.disconnected())


def is_not_there(desk: Desk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    desk.slack = SlackResource(
        token="xoxb-whatever", base_url=f"http://127.0.0.1:{port}/api/", max_retries=0
    )


def talks_nonsense(desk: Desk) -> None:
    desk.server.inject(Fault.status(200))


TROUBLES = [
    (refuses, "invalid_auth"),
    (archives, "is_archived"),
    (finds_no_block_valid, "invalid_blocks"),
    (is_rate_limited, "ratelimited"),
    (hangs, "TimeoutError"),
    (hangs_up, "may not have reached Slack"),
    (is_not_there, "ConnectionRefusedError"),
    (talks_nonsense, "non-JSON"),
]


@pytest.mark.parametrize(
    ("trouble", "said"), TROUBLES, ids=lambda value: getattr(value, "__name__", "")
)
def test_whatever_slack_does_the_run_ends_as_it_would_have_and_one_error_is_logged(
    desk: Desk, trouble: Callable[[Desk], None], said: str
):
    trouble(desk)

    began = time.monotonic()
    result = desk.run(job_of(works, slack_on_success(CHANNEL)))

    assert result.success
    assert time.monotonic() - began < 20
    [logged] = desk.errors(result)
    assert logged.startswith(
        "slack_on_success could not send its message; the run is not affected.\n"
    )
    assert CHANNEL in logged
    assert said in logged
    assert desk.slack.token not in logged


def test_the_retry_of_a_run_that_failed_is_not_changed_by_a_hook_that_failed(desk: Desk):
    refuses(desk)

    result = desk.run(job_of(breaks, slack_on_failure(CHANNEL)))

    assert not result.success
    assert [event.step_key for event in result.get_step_failure_events()] == ["breaks"]
    assert "no rows" in str(result.failure_data_for_node("breaks"))


@pytest.mark.parametrize(
    ("message_fn", "said"),
    [
        (lambda context: context.nothing, "AttributeError"),
        (lambda context: None, "returned NoneType"),
        (lambda context: "", "has no text"),
    ],
    ids=["raises", "forgets to return", "returns nothing"],
)
def test_a_message_function_that_fails_is_logged_and_leaves_the_run_alone(
    desk: Desk, message_fn: Callable[[dg.HookContext], str], said: str
):
    result = desk.run(job_of(works, slack_on_success(CHANNEL, message_fn)))

    assert result.success
    [logged] = desk.errors(result)
    assert said in logged


def test_a_resource_that_is_no_slack_resource_leaves_the_run_alone(desk: Desk):
    result = job_of(works, slack_on_success(CHANNEL)).execute_in_process(
        instance=desk.instance, resources={"slack": "a string"}
    )

    assert result.success
    assert "has no attribute 'get_client'" in desk.errors(result)[0]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 60_000,
        "\N{SNOWMAN} \N{PILE OF POO} \u202e \ud800",
        b"\x00\xff\x1b[31m".decode("latin-1"),
        "<!channel> @here & <script>",
        "```" * 5_000,
    ],
    ids=["60,000 characters", "unicode", "binary", "markup", "fences"],
)
def test_an_error_with_any_text_is_posted(desk: Desk, text: str):
    @dg.op
    def breaks_oddly() -> None:
        raise ValueError(text)

    result = desk.run(job_of(breaks_oddly, slack_on_failure(CHANNEL)))

    assert desk.errors(result) == []
    message, *files = desk.server.inbox
    assert all(reply.thread_ts == message.ts for reply in files)
    assert message.blocks
    assert "<!" not in message.text
    assert "ValueError" in message.text


def test_what_does_not_fit_is_a_file_in_the_thread_with_the_whole_traceback(desk: Desk):
    @dg.op
    def breaks_at_length() -> None:
        raise ValueError("first password=hunter2secret " + "x" * 60_000 + " last")

    desk.run(job_of(breaks_at_length, slack_on_failure(CHANNEL)))

    message, reply = desk.server.inbox
    [file] = reply.files
    assert (reply.channel, reply.thread_ts) == (CHANNEL, message.ts)
    assert file.name == "error.txt"
    assert "Traceback (most recent call last)" in file.content
    assert file.content.rstrip().endswith("x last")
    assert len(file.content) > 60_000
    assert "hunter2secret" not in file.content


def test_a_file_that_slack_does_not_take_is_no_reason_to_complain_in_the_run(desk: Desk):
    @dg.op
    def breaks_at_length() -> None:
        raise ValueError("x" * 60_000)

    desk.server.inject(Fault.refused("missing_scope"), method="files.getUploadURLExternal")

    result = desk.run(job_of(breaks_at_length, slack_on_failure(CHANNEL)))

    assert len(desk.server.inbox) == 1
    assert desk.errors(result) == []


def test_owners_are_mentioned_and_looked_up_once(slack_server_with_people: SlackServer):
    server = slack_server_with_people
    slack = SlackResource(token=server.token, base_url=server.base_url)

    @dg.asset(
        owners=["jo@example.org", "nobody@example.org", "team:data"],
        hooks={slack_on_failure(CHANNEL, mention_owners=True)},
    )
    def orders() -> None:
        raise ValueError("no orders")

    for _ in range(2):
        dg.materialize([orders], resources={"slack": slack}, raise_on_error=False)

    assert ["Owners: <@U0JO>, nobody@example.org, team:data" in m.text for m in server.inbox] == [
        True,
        True,
    ]
    assert server.calls.count("users.lookupByEmail") == 2


@pytest.fixture
def slack_server_with_people() -> Iterator[SlackServer]:
    with SlackServer(people={"jo@example.org": "U0JO"}) as server:
        yield server


def test_a_coloured_secret_is_not_posted(desk: Desk):
    @dg.op
    def connects() -> None:
        raise ConnectionError("\x1b[36mpassword\x1b[0m=\x1b[35mhunter2secret\x1b[0m refused")

    desk.run(job_of(connects, slack_on_failure(CHANNEL)))

    [message] = desk.server.inbox
    assert "password=*** refused" in message.text
    assert "hunter2" not in message.text + str(message.blocks)


def test_a_message_of_60_000_characters_arrives_with_both_its_ends(desk: Desk):
    message = "first" + "x" * 60_000 + "last"

    desk.run(job_of(works, slack_on_success(CHANNEL, lambda _: message)))

    [arrived] = desk.server.inbox
    assert arrived.text.startswith("first")
    assert arrived.text.endswith("last")
    assert len(arrived.text) <= 40_000


def test_a_hook_can_be_called_in_a_unit_test(slack_server: SlackServer):
    context = dg.build_hook_context(
        resources={"slack": SlackResource(token=slack_server.token)},
        op=works,
        run_id="r1",
        job_name="nightly",
    )

    slack_on_success(CHANNEL)(context)

    assert [m.text for m in slack_server.inbox] == [
        "Op works on job nightly succeeded!\nRun ID: r1"
    ]
