"""The Databricks resource: a client for code of one's own; and the settings that all of ours share.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from typing import TYPE_CHECKING, Any

from dagster import (
    Config,
    ConfigurableResource,
    IAttachDifferentObjectToOpContext,
    ResourceDependency,
)
from pydantic import ConfigDict, Field, model_validator

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks.client import DatabricksClient
from dagweave.databricks.workspace import Login

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST = (
    "Where the workspace is: https://dbc-a1b2345c-d6e7.cloud.databricks.com. Without it, the "
    "environment variables DAGWEAVE_DATABRICKS_BASE_URL and DATABRICKS_HOST are asked."
)
TOKEN = "A personal access token, as an EnvVar: so it is in no code and not shown in Dagster's UI."  # noqa: S105


class OauthCredentials(Config):
    """A service principal of Databricks, which logs in by OAuth."""

    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    client_id: str = Field(description="Its application id.")
    client_secret: str = Field(repr=False, description="An OAuth secret of it, as an EnvVar.")


class AzureServicePrincipalCredentials(Config):
    """A service principal of Microsoft Entra ID."""

    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    azure_client_id: str = Field(description="Its application id.")
    azure_client_secret: str = Field(repr=False, description="A secret of it, as an EnvVar.")
    azure_tenant_id: str = Field(description="The tenant that it is in.")


class DatabricksClientResource(ConfigurableResource[Any], IAttachDifferentObjectToOpContext):
    """A client of a Databricks workspace.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.databricks import DatabricksClientResource

    @asset
    def clusters(databricks: DatabricksClientResource) -> None:
        workspace = databricks.get_client().workspace_client
        for cluster in workspace.clusters.list():
            print(cluster.cluster_name)

    databricks = DatabricksClientResource(
        host=EnvVar("DATABRICKS_HOST"), token=EnvVar("DATABRICKS_TOKEN")
    )
    defs = Definitions(assets=[clusters], resources={"databricks": databricks})
    ```

    Exactly one of `token`, `oauth_credentials`, `azure_credentials` and `credentials_strategy` says
    who comes. Where a resource is named by its key, `context.resources` has the client itself.
    """

    # A wrong field must not show the token beside it; who imports this may not use it.
    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    host: str | None = Field(default=None, description=HOST)
    token: str | None = Field(default=None, repr=False, description=TOKEN)
    oauth_credentials: OauthCredentials | None = Field(
        default=None, description="A service principal, which logs in by OAuth."
    )
    azure_credentials: AzureServicePrincipalCredentials | None = Field(
        default=None, description="A service principal of Microsoft Entra ID."
    )
    workspace_id: str | None = Field(
        default=None, description="Not used; there for those who still give it."
    )
    # What the SDK calls a CredentialsStrategy; its class is not imported before it is needed.
    credentials_strategy: ResourceDependency[Any] = None  # pyright: ignore[reportAssignmentType] -- Dagster takes a default so

    @model_validator(mode="before")
    @classmethod
    def _one_way_to_log_in(cls, values: dict[str, Any]) -> dict[str, Any]:
        ways = ("token", "oauth_credentials", "azure_credentials", "credentials_strategy")
        given = [name for name in ways if values.get(name) is not None]
        if len(given) > 1:
            raise InvalidInput(
                f"{cls.__name__} was given more than one way to log in.",
                seen=f"It was given {' and '.join(given)}.",
                remedy=f"Give exactly one of {', '.join(ways)}.",
            )
        return values

    def get_client(self) -> DatabricksClient:
        """The client; it is shared by all of this process that log in likewise.

        Raises:
            InvalidInput: There are no credentials, or no host.
            Refused: The credentials were refused.
            MissingExtra: `databricks-sdk` is not installed.
        """
        login = login_of(self)
        if login.way is None:
            raise InvalidInput(
                "DatabricksClientResource was given no way to log in.",
                remedy="Give exactly one of token, oauth_credentials, azure_credentials and "
                "credentials_strategy.",
            )
        return DatabricksClient.of(login)

    def get_object_to_set_on_execution_context(self) -> DatabricksClient:
        """What `context.resources` shows, where a resource is named by its key."""
        return self.get_client()

    def __repr_args__(self) -> "Iterable[tuple[str | None, Any]]":
        """What `repr` shows: no secret."""
        return harmless(super().__repr_args__())


def login_of(settings: Any) -> Login:
    """The login that settings say: `host`, `token`, `oauth_credentials`, `azure_credentials`."""
    oauth, azure = settings.oauth_credentials, settings.azure_credentials
    return Login(
        host=settings.host,
        token=settings.token,
        client_id=oauth and oauth.client_id,
        client_secret=oauth and oauth.client_secret,
        azure_client_id=azure and azure.azure_client_id,
        azure_client_secret=azure and azure.azure_client_secret,
        azure_tenant_id=azure and azure.azure_tenant_id,
        strategy=getattr(settings, "credentials_strategy", None),
    )


def harmless(
    arguments: "Iterable[tuple[str | None, Any]]",
) -> "Iterable[tuple[str | None, Any]]":
    """The arguments of a `repr`, without those that hold a secret."""
    for name, value in arguments:
        if name not in {"token", "oauth_credentials", "azure_credentials", "credentials_strategy"}:
            yield name, value
