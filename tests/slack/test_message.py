from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from dagweave.notifier import Notice
from dagweave.slack.message import LONGEST_DETAILS, LONGEST_TEXT, escape, render
from dagweave.testing.slack.blocks import faults, total_length

NOTICE = Notice(
    summary="Op load_flights on job nightly failed!",
    severity="error",
    dedup_key="nightly|load_flights",
    job_name="nightly",
    op_name="load_flights",
    run_id="0af3",
    assets=("raw/flights", "raw/weather"),
    partition="2013-02",
    failed_checks=("raw/flights: not_null",),
    details="ValueError: no rows",
    link="http://localhost:3000/runs/0af3",
)
CALLS_A_CHANNEL = re.compile(r"<!|@(?:channel|here|everyone)\b")


def test_the_text_says_all_of_it_in_the_words_that_people_know():
    assert render(NOTICE).text == (
        "Op load_flights on job nightly failed!\n"
        "Run ID: 0af3\n"
        "Not materialized: raw/flights, raw/weather\n"
        "Partition: 2013-02\n"
        "Failed checks: raw/flights: not_null\n"
        "```\nValueError: no rows\n```\n"
        "<http://localhost:3000/runs/0af3|View in Dagster UI>"
    )


def test_what_is_not_known_is_not_mentioned():
    notice = Notice(
        summary="Op a on job b succeeded!",
        severity="info",
        dedup_key="b|a",
        job_name="b",
        op_name="a",
        run_id="r",
    )

    assert render(notice).text == "Op a on job b succeeded!\nRun ID: r"
    assert len(render(notice).blocks) == 1


def test_the_blocks_show_what_the_text_says():
    shown = str(render(NOTICE).blocks)

    for part in (
        "load_flights",
        "0af3",
        "raw/weather",
        "2013-02",
        "not_null",
        "no rows",
        "View in",
    ):
        assert part in shown


def test_an_asset_of_a_success_is_not_called_missing():
    text = render(replace(NOTICE, severity="info")).text

    assert "Assets: raw/flights, raw/weather" in text


def test_ten_thousand_assets_do_not_make_a_long_message():
    text = render(replace(NOTICE, assets=tuple(f"marts/model_{n}" for n in range(10_000)))).text

    assert "marts/model_7 and 9,992 more" in text
    assert len(text) < 1_000


def test_of_a_long_error_the_head_and_the_tail_are_shown():
    details = "TypeError: at first\n" + "noise\n" * 10_000 + "and at last"

    text = render(replace(NOTICE, details=details)).text

    assert "TypeError: at first" in text
    assert "and at last" in text
    assert f"{len(details):,} characters in all" in text
    assert len(text) < LONGEST_DETAILS + 500


def test_what_slack_reads_as_markup_is_shown_as_it_is():
    assert escape("a < b && c > d") == "a &lt; b &amp;&amp; c &gt; d"


@pytest.mark.parametrize(
    "call", ["<!channel>", "<!here|here>", "<!everyone>", "<!subteam^S1>", "@channel", "@here"]
)
def test_an_error_calls_no_channel(call: str):
    notice = replace(NOTICE, details=f"bad row: {call}", summary=call, assets=(call,))
    message = render(notice)

    assert not CALLS_A_CHANNEL.search(message.text)
    assert not CALLS_A_CHANNEL.search(str(message.blocks))


def test_an_error_cannot_break_out_of_its_code_block():
    text = render(replace(NOTICE, details="``` *bold* ``````", link=None)).text

    assert text.count("```") == 2


def test_slack_is_told_to_read_no_more_into_the_blocks_than_is_there():
    [head, details, link] = render(NOTICE).blocks
    texts = [head["text"], *head["fields"], details["text"], *link["elements"]]

    assert all(text["verbatim"] for text in texts)


@given(
    details=st.text(alphabet="`<>&@here\x00é\N{PILE OF POO}x\n", max_size=8_000),
    name=st.text(max_size=900),
)
def test_whatever_happened_the_message_is_within_slacks_limits(details: str, name: str):
    notice = replace(
        NOTICE,
        details=details,
        summary=name or "s",
        assets=(name, name, name),
        failed_checks=(name,),
        partition=name,
    )
    message = render(notice)
    blocks = [dict(block) for block in message.blocks]

    assert faults(blocks) == []
    assert total_length(blocks) < 12_000
    assert len(message.text) <= LONGEST_TEXT
    for block in Block.parse_all(blocks):
        block.validate_json()


def test_a_message_of_the_users_own_is_posted_as_it_is_with_the_link():
    message = render(replace(NOTICE, message="*Look* <@U1> <!channel> & see"))

    assert message.text == (
        "*Look* <@U1> <!channel> & see\n<http://localhost:3000/runs/0af3|View in Dagster UI>"
    )
    assert message.blocks == ()


def test_a_message_of_the_users_own_that_quotes_an_error_calls_no_channel_for_it():
    notice = replace(NOTICE, details="ValueError: <!channel> @here", link=None)

    text = render(replace(notice, message="failed: ValueError: <!channel> @here")).text

    assert not CALLS_A_CHANNEL.search(text)
    assert "&lt;!channel&gt;" in text


@pytest.mark.parametrize("markup", ["<@U012AB3CD>", "<#C1>", "<https://evil|your bank>"])
def test_an_error_that_the_users_words_quote_mentions_nobody_and_links_nowhere(markup: str):
    notice = replace(NOTICE, details=f"ValueError: bad row {markup}", link=None)

    text = render(replace(notice, message=f"<@U1> see <https://wiki|why>: bad row {markup}")).text

    assert text == f"<@U1> see <https://wiki|why>: bad row {escape(markup)}"


def test_a_message_of_the_users_own_is_cut_where_slack_would_cut_it_and_keeps_its_link():
    text = render(replace(NOTICE, message="a" * 30_000 + "b" * 30_000)).text

    assert len(text) <= LONGEST_TEXT
    assert text.startswith("aaa")
    assert "bbb" in text
    assert text.endswith("View in Dagster UI>")


def test_a_link_stays_one_link_whatever_stands_in_it():
    text = render(replace(NOTICE, link="http://ui/runs/1?a=<b>|c&d")).text

    assert text.endswith("<http://ui/runs/1?a=%3Cb%3E%7Cc&amp;d|View in Dagster UI>")


def test_binary_in_an_error_becomes_something_that_can_be_sent():
    details = b"PK\x03\x04\xff\xfe".decode("latin-1") + "\ud800"

    text = render(replace(NOTICE, details=details)).text

    assert "PK\N{REPLACEMENT CHARACTER}" in text
    text.encode()


def test_a_call_in_the_cause_of_an_error_calls_nobody_when_somebody_repeats_the_whole_error():
    whole = "boom: RuntimeError: outer\nThe above was caused by: ValueError: <!channel> help"
    notice = replace(
        NOTICE, details="boom: RuntimeError: outer", full_details=whole, message=f"Look: {whole}"
    )

    assert not CALLS_A_CHANNEL.search(render(notice).text)
