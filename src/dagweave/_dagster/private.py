"""Every private name of Dagster that Dagweave uses, and why no public one will do.

Nothing else under `src/` may import from `dagster._core` and its like (the linter says so), so
that a new Dagster is checked here and nowhere else.
"""

from __future__ import annotations
