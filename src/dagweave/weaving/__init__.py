"""Link assets of different tools by the physical table that they write and read."""

from __future__ import annotations

from dagweave.weaving.table_ref import TableRef

__all__ = ["TableRef"]
