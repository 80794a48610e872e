"""What can be added to the events of a dbt command: rows, columns and their lineage, failing rows, SQL.

`gather` holds the events and adds; `inquiry` asks dbt, once for all; each of the others is one thing
to add, and what it takes.
"""

from __future__ import annotations
