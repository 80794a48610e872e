from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagweave.testing import PostedFile, PostedMessage
from dagweave.testing.slack.mrkdwn import link, plain_to_html, to_html
from dagweave.testing.slack.page import page

TAGS = {"a", "b", "blockquote", "br", "code", "i", "pre", "s", "span"}


class Tags(HTMLParser):
    """Every tag with its attributes, and all the text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def message(text: str = "", *blocks: dict[str, Any], **more: Any) -> PostedMessage:
    named = {"channel": "#data", "channel_id": "C1", "ts": "1700000000.000000"} | more
    return PostedMessage(text=text, blocks=blocks, **named)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* and _slanted_ and ~struck~", "<b>bold</b> and <i>slanted</i> and <s>struck</s>"),
        ("*bold with `code`*", "<b>bold with <code>code</code></b>"),
        ("`a*b*c`", "<code>a*b*c</code>"),
        ("2*3*4 and snake_case_name", "2*3*4 and snake_case_name"),
        ("one\ntwo", "one<br>two"),
        ("```\na < b\n```", "<pre>a &lt; b</pre>"),
        ("before ```x``` after", "before <pre>x</pre> after"),
        ("&gt; said\nso", "<blockquote>said</blockquote>so"),
        ("a &lt; b &amp;&amp; c", "a &lt; b &amp;&amp; c"),
        (":x: :unheard_of:", "\N{CROSS MARK} :unheard_of:"),
        ("", ""),
    ],
)
def test_markup_is_shown_as_slack_shows_it(text: str, shown: str):
    assert to_html(text) == shown


@pytest.mark.parametrize("text", ["<>", "<|label>", "<|>", "``````", "**", "<a", "```"])
def test_half_markup_is_shown_somehow(text: str):
    assert Tags(to_html(text)).found in ([], [("pre", {})])


def test_a_mention_is_shown_with_its_sign():
    assert Tags(to_html("<!here> <@U1> <#C1|data>")).text == "@here @U1 #data"


def test_a_date_is_shown_as_whoever_cannot_reckon_shows_it():
    assert to_html("since <!date^1700000000^{date_short} {time}|2023-11-14 22:13 UTC>") == (
        "since 2023-11-14 22:13 UTC"
    )


def test_a_reply_stands_below_what_it_replies_to():
    shown = page(
        [
            message("first"),
            message("second", ts="1700000001.000000"),
            message("an answer", ts="1700000002.000000", thread_ts="1700000000.000000"),
        ]
    )

    assert shown.index("first") < shown.index("an answer") < shown.index("second")


def test_a_file_is_shown_with_its_content_and_runs_nothing():
    shown = page([message("", files=(PostedFile("a<b>.txt", "<script>x</script>"),))])

    assert "a&lt;b&gt;.txt" in shown
    assert "&lt;script&gt;x" in shown
    assert "<script" not in shown


def test_a_link_leads_where_it_says():
    assert to_html("<https://a.b/c?d=1&amp;e=2|here>") == (
        '<a href="https://a.b/c?d=1&amp;e=2" rel="noreferrer">here</a>'
    )
    assert to_html("<https://a.b>") == '<a href="https://a.b" rel="noreferrer">https://a.b</a>'


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"])
def test_a_link_to_anything_but_the_web_is_mere_text(url: str):
    assert link(url, "<click>") == "&lt;click&gt;"
    assert Tags(to_html(f"<{url}|click>")).found == []


MARKUP = st.text(alphabet="*_~`<>|&;:!@#\"'= \nabhijavscript/", max_size=80)


@given(st.one_of(MARKUP, st.text(max_size=80)))
def test_no_text_becomes_a_tag_that_is_not_markup(text: str):
    for tag, attributes in Tags(to_html(text)).found:
        assert tag in TAGS
        assert set(attributes) <= {"href", "rel", "class"}
        assert (attributes.get("href") or "https://").startswith(("http", "mailto:"))


@given(st.text(alphabet=st.characters(exclude_characters="*_~`<>|&:@#\n\r\x00", codec="utf-8")))
def test_text_without_markup_stays_what_it_is(text: str):
    assert Tags(to_html(text)).text == text


@given(MARKUP)
def test_plain_text_is_never_markup(text: str):
    assert {tag for tag, _ in Tags(plain_to_html(text)).found} <= {"br"}


def test_an_empty_inbox_says_so():
    assert "Nothing has been posted yet." in page([])


def test_the_page_shows_each_channel_with_its_messages():
    shown = page(
        [message("first"), message("elsewhere", channel="#ops"), message("second", edited=True)]
    )

    assert shown.index("first") < shown.index("second") < shown.index("elsewhere")
    assert "# data" in shown
    assert "# ops" in shown
    assert "(edited)" in shown
    assert "<b>2</b>" in shown


def test_the_page_shows_the_blocks_and_not_the_text_that_stands_in_for_them():
    shown = page(
        [
            message(
                "stands in",
                {"type": "header", "text": {"type": "plain_text", "text": "Nightly"}},
                {
                    "type": "section",
                    "text": {"type": "mrkdwn", "text": "*failed*"},
                    "fields": [{"type": "mrkdwn", "text": "*Run*\n0af3"}],
                    "accessory": {"type": "image", "image_url": "https://a/b", "alt_text": "chart"},
                },
                {"type": "divider"},
                {
                    "type": "actions",
                    "elements": [
                        {
                            "type": "button",
                            "text": {"type": "plain_text", "text": "Open"},
                            "url": "https://run",
                            "style": "primary",
                        },
                        {"type": "button", "text": {"type": "plain_text", "text": "Mute"}},
                    ],
                },
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "<https://x|more>"}]},
                {"type": "markdown", "text": "# as it is"},
                {"type": "video", "title": "<unknown here>"},
            )
        ]
    )

    assert "stands in" not in shown
    assert "<h3>Nightly</h3>" in shown
    assert "<b>failed</b>" in shown
    assert "<b>Run</b><br>0af3" in shown
    assert '<a href="https://a/b" rel="noreferrer">image: chart</a>' in shown
    assert '<span class="button primary"><a href="https://run"' in shown
    assert '<span class="button">Mute</span>' in shown
    assert '<a href="https://x" rel="noreferrer">more</a>' in shown
    assert "# as it is" in shown
    assert "&lt;unknown here&gt;" in shown


def test_the_page_runs_and_fetches_nothing():
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    posted = message(evil, channel=f"#{evil}")
    laid_out = message(
        evil,
        {"type": "header", "text": {"type": "plain_text", "text": evil}},
        {"type": "image", "image_url": evil, "alt_text": evil},
        {"type": evil},
    )

    found = Tags(page([posted, laid_out])).found

    assert not {"script", "img", "iframe", "object"} & {tag for tag, _ in found}
    assert not {name for _, attributes in found for name in attributes if name.startswith("on")}
