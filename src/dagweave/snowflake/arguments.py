"""What the settings of a resource are called by each of the ways to Snowflake. Knows nothing of Dagster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dagweave._kernel.errors import InvalidInput
from dagweave.snowflake.credentials import private_key_der, private_key_pem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE_URL_VARIABLE: Final = "DAGWEAVE_SNOWFLAKE_BASE_URL"
# By this Snowflake tells who comes, in its query history: QUERY_HISTORY.CLIENT_APPLICATION_ID.
APPLICATION: Final = "Dagweave"

_CONNECTOR: Final = (
    "account", "user", "password", "database", "schema", "role", "warehouse", "autocommit",
    "client_prefetch_threads", "client_session_keep_alive", "login_timeout", "network_timeout",
    "ocsp_response_cache_filename", "validate_default_parameters", "paramstyle", "timezone",
    "authenticator",
)  # fmt: skip
_SQLALCHEMY: Final = (
    "account", "user", "password", "database", "schema", "role", "warehouse",
    "cache_column_metadata", "numpy",
)  # fmt: skip
# https://arrow.apache.org/adbc/current/driver/snowflake.html#client-options
_ADBC: Final = {
    "account": "adbc.snowflake.sql.account",
    "user": "username",
    "password": "password",
    "database": "adbc.snowflake.sql.db",
    "schema": "adbc.snowflake.sql.schema",
    "role": "adbc.snowflake.sql.role",
    "warehouse": "adbc.snowflake.sql.warehouse",
    "host": "adbc.snowflake.sql.uri.host",
    "port": "adbc.snowflake.sql.uri.port",
    "protocol": "adbc.snowflake.sql.uri.protocol",
    "private_key_password": "adbc.snowflake.sql.client_option.jwt_private_key_pkcs8_password",
}
_ADBC_AUTHENTICATORS: Final = {
    "snowflake": "auth_snowflake",
    "oauth": "auth_oauth",
    "externalbrowser": "auth_ext_browser",
    "okta": "auth_okta",
    "jwt": "auth_jwt",
    "snowflake_jwt": "auth_jwt",
}


def endpoint(base_url: str | None) -> dict[str, Any]:
    """Host, port and protocol of an address, given or of the environment; nothing without either.

    Raises:
        InvalidInput: It is no address of anything on the web.
    """
    address = base_url or os.environ.get(BASE_URL_VARIABLE)
    if not address:
        return {}
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput(
            f"{address!r} is not the address of Snowflake.",
            remedy=f"Check base_url, or the environment variable {BASE_URL_VARIABLE}; without either, "
            "Snowflake is asked at the host of the account.",
        )
    port = port or (443 if parts.scheme == "https" else 80)
    return {"host": parts.hostname, "port": port, "protocol": parts.scheme}


def for_connector(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `snowflake.connector.connect`, 4.x and 5.x.

    Raises:
        InvalidInput: The private key or the address cannot be read.
    """
    arguments = {**endpoint(settings.get("base_url")), **_given(settings, _CONNECTOR)}
    if _has_key(settings):
        arguments["private_key"] = _der(settings)
    arguments["application"] = APPLICATION
    return arguments | dict(settings.get("additional_snowflake_connection_args") or {})


def for_sqlalchemy(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of `snowflake.sqlalchemy.URL`, and the `connect_args` of the engine.

    Raises:
        InvalidInput: The private key or the address cannot be read.
    """
    url = {**endpoint(settings.get("base_url")), **_given(settings, _SQLALCHEMY)}
    url["application"] = APPLICATION
    connect = _given(settings, ("authenticator", "autocommit", "login_timeout", "network_timeout"))
    if _has_key(settings):
        connect["private_key"] = _der(settings)
    return url, connect


def for_adbc(settings: Mapping[str, Any]) -> dict[str, str]:
    """The options of the ADBC driver's database.

    Raises:
        InvalidInput: The private key or the address cannot be read.
    """
    known = {**settings, **endpoint(settings.get("base_url"))}
    options = {_ADBC[name]: str(value) for name, value in _given(known, _ADBC).items()}
    if authenticator := settings.get("authenticator"):
        known_as = _ADBC_AUTHENTICATORS.get(str(authenticator).lower())
        options["adbc.snowflake.sql.auth_type"] = known_as or str(authenticator)
    if _has_key(settings):
        options["adbc.snowflake.sql.auth_type"] = "auth_jwt"
        options["adbc.snowflake.sql.client_option.jwt_private_key_pkcs8_value"] = private_key_pem(
            text=settings.get("private_key"), path=settings.get("private_key_path")
        )
    for name, option in (
        ("login_timeout", "login_timeout"),
        ("network_timeout", "request_timeout"),
    ):
        if seconds := settings.get(name):
            options[f"adbc.snowflake.sql.client_option.{option}"] = f"{seconds}s"
    keep_alive = settings.get("client_session_keep_alive")
    if keep_alive is not None:
        options["adbc.snowflake.sql.client_option.keep_session_alive"] = str(keep_alive).lower()
    options["adbc.snowflake.sql.client_option.app_name"] = APPLICATION
    own: dict[str, Any] = settings.get("additional_snowflake_connection_args") or {}
    return options | {name: str(own[name]) for name in own if name.startswith("adbc.snowflake.")}


def _given(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: settings[name] for name in names if settings.get(name) is not None}


def _has_key(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("private_key") or settings.get("private_key_path"))


def _der(settings: Mapping[str, Any]) -> bytes:
    return private_key_der(
        text=settings.get("private_key"),
        path=settings.get("private_key_path"),
        password=settings.get("private_key_password"),
    )
