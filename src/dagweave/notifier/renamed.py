"""Old names of arguments that all notifiers have, kept for those who come from the official ones."""

from __future__ import annotations

import warnings

from dagweave._kernel.errors import InvalidInput


def web_address(webserver_base_url: str | None, dagit_base_url: str | None) -> str | None:
    """Where Dagster's UI is, given by its name or by the old one, which warns."""
    if dagit_base_url is None:
        return webserver_base_url
    if webserver_base_url is not None:
        raise InvalidInput(
            "Both webserver_base_url and dagit_base_url were given.",
            remedy="Give webserver_base_url alone: dagit_base_url is its old name.",
        )
    warnings.warn(
        "dagit_base_url is deprecated; write webserver_base_url instead.",
        DeprecationWarning,
        stacklevel=3,
    )
    return dagit_base_url
