"""Take secrets out of text that leaves the process: logs, errors, metadata, messages.

Two ways to know a secret: by its shape (a Slack token, the password in a URL), or because the
caller names it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"
# Colours, cursor moves and links, as dbt and pytest write them, and an escape that begins nothing.
TERMINAL_CODE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))?")

_SHORTEST_NAMED_SECRET = 4


@cache
def _shapes() -> tuple[re.Pattern[str], ...]:
    """What secrets look like. Compiled at first use: that costs as much as all else of an import."""
    return (
        # https://api.slack.com/concepts/token-types
        re.compile(r"\bxox[a-z](?:\.[a-z]+)?-[A-Za-z0-9-]{4,}"),
        re.compile(r"\bxapp-[A-Za-z0-9-]{4,}"),
        # https://github.blog/engineering/behind-githubs-new-authentication-token-formats
        re.compile(r"\b(?:gh[pousr]|github_pat)_\w{16,}"),
        # The password of scheme://user:password@host; the user stays, it helps to find the mistake.
        # A password with an @ in it ends at the last one.
        re.compile(r"(?<=://)(?P<keep>[^\s:/@]*:)[^\s/]+(?=@)"),
        re.compile(
            r"(?P<keep>\b(?:Bearer|Basic)\s+)(?!auth|token|credential|realm)[A-Za-z0-9._~+/=-]{8,}"
        ),
        # password=..., "token": "...", AWS_SECRET_ACCESS_KEY: ..., and the same within a JSON string.
        re.compile(
            r"(?P<keep>(?:password|passwd|secret|token|(?:api|access|private)[_-]?key)"
            r"(?:\\?[\"'])?\s*[=:]\s*)"
            r"(?:\\\"[^\"]*\\\"|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[\"']?[^\s\"',;&)}\]]+)",
            re.IGNORECASE,
        ),
        # Bounded, so that a text of many beginnings and no end does not take long.
        re.compile(
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,20000}?-----END [A-Z ]{0,30}PRIVATE KEY-----",
            re.DOTALL,
        ),
    )


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with every secret replaced by `***`.

    Terminal codes stay, unless a secret shows only without them: a coloured `password` is followed
    by a code and not by its `=`.

    Args:
        secrets: Values to remove wherever they stand, whatever their shape. A value of under
            four characters is left: removing it would mangle the text and hide nothing.
    """
    named = sorted({s for s in secrets if len(s) >= _SHORTEST_NAMED_SECRET}, key=len, reverse=True)
    shown = _without(named, text)
    bare = TERMINAL_CODE.sub("", shown)
    shown_bare = _without(named, bare)
    return shown if shown_bare == bare else shown_bare


def _without(named: Iterable[str], text: str) -> str:
    for secret in named:
        text = text.replace(secret, MASK)
    for shape in _shapes():
        text = shape.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    return match.groupdict().get("keep", "") + MASK
