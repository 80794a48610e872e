"""Which deployment this process runs in, and what is to be used there.

The names are those of Dagster+: https://docs.dagster.io/deployment/dagster-plus/management/environment-variables/built-in
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Final, TypeVar, cast

from dagweave._kernel.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

NAME_VARIABLE = "DAGSTER_CLOUD_DEPLOYMENT_NAME"
IS_BRANCH_VARIABLE = "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT"
BRANCH = "branch"
LOCAL = "local"

_YES_OR_NO: Final[Mapping[str, bool]] = {
    "1": True,
    "true": True,
    "0": False,
    "false": False,
    "": False,
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment: its name, and whether it is one of a branch.

    ```python
    from dagweave.deployments import Deployment, by_deployment

    branch = Deployment("feature-42", is_branch=True)
    assert by_deployment({"prod": 1, "branch": 2}, deployment=branch) == 2
    ```
    """

    name: str
    is_branch: bool = False


def current_deployment(environ: Mapping[str, str] | None = None) -> Deployment:
    """Say in which deployment this process runs.

    `DAGSTER_CLOUD_DEPLOYMENT_NAME` is its name, and `DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT` says with
    `1` that it is one of a branch. Dagster+ sets both; in open-source Dagster, set them yourself.
    Where neither is set, this is `local`.

    Args:
        environ: What to read in place of this process' environment.

    Raises:
        InvalidInput: `DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT` says neither yes nor no.
    """
    environ = os.environ if environ is None else environ
    said = environ.get(IS_BRANCH_VARIABLE, "").strip()
    is_branch = _YES_OR_NO.get(said.lower())
    if is_branch is None:
        raise InvalidInput(
            f"The environment variable {IS_BRANCH_VARIABLE} is {said!r}, which is neither yes nor "
            "no.",
            remedy="Set it to 1 in the deployment of a branch, and to 0 or not at all elsewhere.",
        )
    name = environ.get(NAME_VARIABLE, "").strip()
    return Deployment(name or (BRANCH if is_branch else LOCAL), is_branch)


def by_deployment(
    choices: Mapping[str, T | Callable[[], T]],
    *,
    deployment: Deployment | str | None = None,
) -> T:
    """Return what `choices` has for the deployment that this process runs in.

    What is chosen by name: `branch` in any deployment of a branch, whatever the branch is called;
    elsewhere the deployment's own name, which is `local` where none is set (`current_deployment`).
    There is no default: a deployment that nobody thought of is an error, and never takes what was
    meant for another.

    A function without arguments is called, and only the one that is chosen: what it imports and
    connects to is not touched elsewhere. Anything else is returned as it is, a class included.

    ```python
    from dagweave.deployments import by_deployment

    schema = by_deployment({"prod": "marts", "branch": "marts_branch", "local": "dev"})
    ```

    Args:
        deployment: The deployment to choose for in place of the current one: in a test, say.

    Raises:
        InvalidInput: Nothing is there for this deployment; lists what there is.
    """
    where = _deployment(deployment)
    # Anybody may call a branch `prod`.
    key = BRANCH if where.is_branch else where.name
    if key not in choices:
        raise _unknown(where, key, choices)
    choice = choices[key]
    if isinstance(choice, FunctionType | partial):
        return cast("Callable[[], T]", choice)()
    return cast("T", choice)


def _deployment(given: Deployment | str | None) -> Deployment:
    if given is None:
        return current_deployment()
    return given if isinstance(given, Deployment) else Deployment(given, given == BRANCH)


def _unknown(where: Deployment, key: str, choices: Mapping[str, object]) -> InvalidInput:
    known = ", ".join(repr(name) for name in sorted(choices)) or "nothing"
    kind = "the branch deployment" if where.is_branch else "the deployment"
    return InvalidInput(
        f"Nothing was said of {kind} {where.name!r}.",
        seen=f"There is something for: {known}.\n{NAME_VARIABLE} is "
        f"{os.environ.get(NAME_VARIABLE, '')!r}, {IS_BRANCH_VARIABLE} is "
        f"{os.environ.get(IS_BRANCH_VARIABLE, '')!r}.",
        remedy=f"Add {key!r} to what by_deployment() is given, or set {NAME_VARIABLE} to one of the "
        f"known names. Without either variable the deployment is {LOCAL!r}.",
    )
