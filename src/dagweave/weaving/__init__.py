"""Link assets of different tools by the physical table that they write and read."""

from __future__ import annotations

from dagweave.weaving.report import Ambiguous, Lineage, Link, Loose
from dagweave.weaving.table_ref import TableRef
from dagweave.weaving.tables import NamesTables
from dagweave.weaving.weave import find_lineage, weave

__all__ = [
    "Ambiguous",
    "Lineage",
    "Link",
    "Loose",
    "NamesTables",
    "TableRef",
    "find_lineage",
    "weave",
]
