"""Import an optional package when it is used, and say how to install it when it is not there."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from dagweave._kernel.errors import MissingExtra

if TYPE_CHECKING:
    from types import ModuleType


def require(module: str, *, extra: str, what: str) -> ModuleType:
    """Import `module` and return it.

    Args:
        module: The dotted name of what to import.
        extra: The extra of Dagweave that brings it.
        what: What needs it, as the user knows it: `SlackResource.get_client()`.

    Raises:
        MissingExtra: The package is not installed; names `what` and the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:
            raise
        raise missing(package, extra=extra, what=what) from error


def missing(package: str, *, extra: str, what: str) -> MissingExtra:
    """The error that says that `package` is not installed, and how to install it."""
    return MissingExtra(
        f"{what} needs {package}, which is not installed in this environment.",
        remedy=f'Install it: pip install "dagweave[{extra}]"',
    )


def installed(module: str) -> bool:
    """Whether the top-level package `module` could be imported; does not import it."""
    return importlib.util.find_spec(module) is not None
