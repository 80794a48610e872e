"""What there is in an account, by Snowflake's own Python API, and its dataframes: Snowpark."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagweave.snowflake.arguments import for_connector
from dagweave.snowflake.opening import installed_aside

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping


class Inventory:
    """What a `SnowflakeResource` can list. A pattern is one of LIKE: `%` is anything, `_` a character.

    The methods need the package `snowflake` (Snowflake's Python API), which brings Snowpark.
    """

    @property
    def _settings(self) -> Mapping[str, Any]:
        raise NotImplementedError

    @contextmanager
    def create_snowpark_session(self) -> Generator[Any]:
        """A `snowflake.snowpark.Session` with the settings of the resource, closed at the end.

        Raises:
            MissingExtra: Snowpark is not installed.
        """
        what = "SnowflakeResource.create_snowpark_session()"
        snowpark = installed_aside("snowflake.snowpark", "snowflake-snowpark-python", what=what)
        session = snowpark.Session.builder.configs(for_connector(self._settings)).create()
        try:
            yield session
        finally:
            session.close()

    def get_databases(self, database_like: str) -> list[Any]:
        """The databases whose names match, as `snowflake.core.database.Database`s."""
        with self._root("get_databases") as root:
            return list(root.databases.iter(like=database_like))

    def get_schemas(self, database_like: str, schema_like: str) -> list[Any]:
        """The schemas whose names match, as `snowflake.core.schema.Schema`s."""
        with self._root("get_schemas") as root:
            return [schema for schema, _ in _schemas(root, database_like, schema_like)]

    def get_tables(self, database_like: str, schema_like: str, name_like: str) -> list[Any]:
        """The tables whose names match, as `snowflake.core.table.Table`s."""
        return self._within("tables", database_like, schema_like, name_like)

    def get_views(self, database_like: str, schema_like: str, name_like: str) -> list[Any]:
        """The views whose names match, as `snowflake.core.view.View`s."""
        return self._within("views", database_like, schema_like, name_like)

    def get_pipes(self, database_like: str, schema_like: str, name_like: str) -> list[Any]:
        """The pipes whose names match, as `snowflake.core.pipe.Pipe`s."""
        return self._within("pipes", database_like, schema_like, name_like)

    def get_stages(self, database_like: str, schema_like: str, name_like: str) -> list[Any]:
        """The stages whose names match, as `snowflake.core.stage.Stage`s."""
        return self._within("stages", database_like, schema_like, name_like)

    def _within(self, kind: str, database_like: str, schema_like: str, name_like: str) -> list[Any]:
        with self._root(f"get_{kind}") as root:
            return [
                found
                for _, schema in _schemas(root, database_like, schema_like)
                for found in getattr(schema, kind).iter(like=name_like)
            ]

    @contextmanager
    def _root(self, method: str) -> Generator[Any]:
        core = installed_aside("snowflake.core", "snowflake", what=f"SnowflakeResource.{method}()")
        with self.create_snowpark_session() as session:
            yield core.Root(session)


def _schemas(root: Any, database_like: str, schema_like: str) -> Iterator[tuple[Any, Any]]:
    """Each schema that matches: what is known of it, and what its tables and views are asked of."""
    for database in root.databases.iter(like=database_like):
        schemas = root.databases[database.name].schemas
        for schema in schemas.iter(like=schema_like):
            yield schema, schemas[schema.name]
