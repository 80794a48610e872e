"""Keep requests to this machine from being sent through a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = ("127.0.0.1", "localhost")


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with which no proxy is asked for this machine, besides what they exempt now.

    Some tools read `NO_PROXY`, some `no_proxy`, most the latter first: both get the same.
    """
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in exempt.split(",") if name.strip()]
    # A star exempts everything, but only where it stands alone.
    if names != ["*"]:
        names += [name for name in _HERE if name not in names]
    value = ",".join(names)
    return {"NO_PROXY": value, "no_proxy": value}
