"""Open a workspace: who comes, and where it is. Knows nothing of Dagster."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.databricks.failures import sdk, translated

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

BASE_URL_VARIABLE: Final = "DAGWEAVE_DATABRICKS_BASE_URL"
_KEPT: dict[tuple[int, Login], WorkspaceClient] = {}
_LOCK: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Login:
    """Where a workspace is, and by what who comes is known there.

    Without any credentials the SDK looks for them as its own tools do: in the environment, in
    `~/.databrickscfg`.
    """

    host: str | None = None
    token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    azure_client_id: str | None = None
    azure_client_secret: str | None = field(default=None, repr=False)
    azure_tenant_id: str | None = None
    strategy: Any = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be shown nowhere."""
        found = (self.token, self.client_secret, self.azure_client_secret)
        return tuple(each for each in found if each)

    @property
    def way(self) -> str | None:
        """How who comes is known, in the SDK's own word; `None` where it has to look.

        Raises:
            InvalidInput: There is more than one, or only a part of one.
        """
        ways = {
            "pat": (self.token,),
            "oauth-m2m": (self.client_id, self.client_secret),
            "azure-client-secret": (
                self.azure_client_id,
                self.azure_client_secret,
                self.azure_tenant_id,
            ),
            "strategy": (self.strategy,),
        }
        given = {name: parts for name, parts in ways.items() if any(parts)}
        if len(given) > 1:
            raise InvalidInput(
                "More than one way to log in to Databricks was given.",
                seen=f"Given are {' and '.join(given)}.",
                remedy="Give one of token, oauth_credentials, azure_credentials and "
                "credentials_strategy.",
            )
        for name, parts in given.items():
            if not all(parts):
                raise InvalidInput(
                    f"A part of the credentials of Databricks is missing ({name}).",
                    remedy="oauth_credentials are client_id and client_secret; azure_credentials are "
                    "azure_client_id, azure_client_secret and azure_tenant_id.",
                )
        return next(iter(given), None)


def opened(login: Login) -> WorkspaceClient:
    """The client of a workspace; one for each login in this process, safe to share.

    Raises:
        InvalidInput: There is no host, or no credentials.
        Refused: The credentials were refused.
        MissingExtra: `databricks-sdk` is not installed.
    """
    with _LOCK:
        # A process that was forked must not use its parent's connections.
        key = (os.getpid(), login)
        if key not in _KEPT:
            _KEPT[key] = _open(login)
        return _KEPT[key]


def _open(login: Login) -> WorkspaceClient:
    way = login.way
    core = sdk("databricks.sdk.core", "A workspace of Databricks")
    host = login.host or os.environ.get(BASE_URL_VARIABLE) or os.environ.get("DATABRICKS_HOST")
    if way is not None and not host:
        raise InvalidInput(
            "Nothing says where the Databricks workspace is.",
            remedy="Give host, or set the environment variable DATABRICKS_HOST: "
            "https://dbc-a1b2345c-d6e7.cloud.databricks.com.",
        )
    arguments: dict[str, Any] = {"host": host} if host else {}
    match way:
        case "strategy":
            arguments["credentials_strategy"] = login.strategy
        case None:
            pass
        case _:
            names = ("token", "client_id", "client_secret", "azure_client_id")
            names += ("azure_client_secret", "azure_tenant_id")
            arguments |= {name: getattr(login, name) for name in names}
            # Whatever else the environment holds, these are the credentials that were given.
            arguments["auth_type"] = way
    with translated(f"The Databricks workspace {host or ''} was not opened.", login.secrets):
        try:
            config = core.Config(product="dagweave", product_version=_version(), **arguments)
        except ValueError as error:
            raise InvalidInput(
                f"Logging in to the Databricks workspace {host or ''} failed.",
                seen=redact(str(error), login.secrets),
                remedy="Check host and credentials: https://docs.databricks.com/aws/en/dev-tools/auth.",
            ) from error
        return sdk("databricks.sdk").WorkspaceClient(config=config)


def _version() -> str:
    try:
        return version("dagweave")
    except PackageNotFoundError:
        return "0"
