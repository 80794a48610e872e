"""Hosted syncs: start, wait, cancel, resume, report. What Fivetran and Airbyte have in common."""

from __future__ import annotations
