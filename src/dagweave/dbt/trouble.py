"""Find in dbt's output what went wrong, and say it: which nodes, in dbt's own words, bounded."""

from __future__ import annotations

import re
import signal
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dagweave._kernel.errors import DagweaveError, InvalidInput, WorkFailed
from dagweave._kernel.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST_SHOWN: Final = 10
_LONGEST_SHOWN: Final = 1_500
_LAST_LINES: Final = 15
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
# What dbt says before it begins, when the same command would fail again.
_HOPELESS: Final = re.compile(
    r"^ *(?:Encountered an error:\s+)?(?:Parsing Error|Compilation Error)"
    r"|Could not find profile|Env var required but not provided"
    r"|Credentials in profile|does not have a target|No dbt_project.yml|^Usage: dbt",
    re.MULTILINE,
)
_MAY_PASS: Final = re.compile(
    r"time(?:d )?-?out|connection|connect to|refused|reset", re.IGNORECASE
)
# The lines that only announce or repeat what another one says.
_REPEATED: Final = frozenset(
    {"EndOfRunSummary", "LogModelResult", "LogTestResult", "LogSeedResult"}
)

decode: Final = msgspec.json.Decoder().decode


class Trouble:
    """What dbt complained of in one run."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = secrets
        self._by_node: dict[str, list[str]] = {}
        self._general: dict[str, None] = {}
        self._repeated: dict[str, None] = {}
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def seen(self) -> bool:
        """Whether dbt logged an error, whatever its exit code."""
        return bool(self._by_node or self._general or self._repeated)

    def note(self, line: bytes) -> None:
        """Take in one line of output. Cheap for the lines that report no error."""
        if not line.startswith(b"{"):
            if text := line.decode(errors="replace").strip():
                self._last_lines.append(redact(text, self._secrets))
        elif b'"error"' in line:
            with suppress(msgspec.DecodeError, KeyError, TypeError, AttributeError):
                self._note_event(decode(line))

    def _note_event(self, event: Any) -> None:
        info = event["info"]
        if info.get("level") != "error":
            return
        text = _COLOURS.sub("", str(info.get("msg") or "")).strip()
        text = redact(text, self._secrets)
        if info.get("name") in _REPEATED:
            self._repeated[text] = None
        elif node := event["data"].get("node_info", {}).get("unique_id"):
            said = self._by_node.setdefault(str(node), [])
            if text and text not in said:
                said.append(text)
        elif text:
            self._general[text] = None

    def error(self, command: str, code: int, log: Path | None = None) -> DagweaveError | None:
        """The error that a run that ended with `code` is, or nothing if it went well.

        An error that dbt logged counts even if it ended well. `log` is where dbt says more.
        """
        if code == 0 and not self.seen:
            return None
        seen = self._shown()
        hopeless = (
            code != 0
            and not self._by_node
            and _HOPELESS.search(seen)
            and not _MAY_PASS.search(seen)
        )
        return (InvalidInput if hopeless else WorkFailed)(
            f"dbt {_ending(code)}: {shortened(command, 400)}",
            seen=seen or None,
            remedy="\n".join(
                [
                    *(["Mend the project or its profile, then run it again."] if hopeless else []),
                    *([f"The whole log: {log}"] if log and log.exists() else []),
                ]
            )
            or None,
        )

    def _shown(self) -> str:
        general = [shortened(text) for text in self._general]
        nodes = [
            shortened(f"{node}\n" + "\n".join(f"  {line}" for line in "\n".join(said).splitlines()))
            for node, said in self._by_node.items()
        ]
        found = [*nodes, *general] or [shortened(text) for text in self._repeated]
        if not found:
            return "\n".join(["Its last words:", *self._last_lines]) if self._last_lines else ""
        more = len(found) - _MOST_SHOWN
        return "\n".join([*found[:_MOST_SHOWN], *([f"... and {more} more."] if more > 0 else [])])


def _ending(code: int) -> str:
    if code == 0:
        return "ended with exit code 0, but logged an error"
    if code > 0:
        return f"failed with exit code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """The head of a text, which says how long it was."""
    return text if len(text) <= longest else f"{text[:longest]} ... ({len(text):,} characters)"
