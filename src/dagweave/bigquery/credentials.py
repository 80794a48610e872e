"""Who comes to BigQuery: credentials that stay within the process, and touch nothing of it.

Knows nothing of Dagster. The official package writes them to a file and sets a variable of the
whole process for it, so that two resources with two credentials get in each other's way.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from dagweave._kernel.errors import InvalidInput, Refused
from dagweave._kernel.extras import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

BASE_URL_VARIABLE: Final = "DAGWEAVE_BIGQUERY_BASE_URL"
SCOPES: Final = (
    "https://www.googleapis.com/auth/bigquery",
    "https://www.googleapis.com/auth/cloud-platform",
    # For tables that are sheets.
    "https://www.googleapis.com/auth/drive.readonly",
)
_REMEDY: Final = "Give gcp_credentials the base64 of a key file: `base64 -w0 key.json`."


def address(base_url: str | None) -> str | None:
    """Where BigQuery is, given or of the environment; `None` for Google's own.

    Raises:
        InvalidInput: It is no address of anything on the web.
    """
    found = base_url or os.environ.get(BASE_URL_VARIABLE)
    if not found:
        return None
    parts = urlsplit(found)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput(
            f"{found!r} is not the address of BigQuery.",
            remedy=f"Check base_url, or the environment variable {BASE_URL_VARIABLE}; without either, "
            "Google's own is asked.",
        )
    return found.rstrip("/")


def is_open(url: str | None) -> bool:
    """Whether an address is of an emulator: no credential is sent without encryption."""
    return url is not None and url.startswith("http://")


def info_of(gcp_credentials: str) -> dict[str, Any]:
    """What the base64 of a key file says.

    Raises:
        InvalidInput: It is no such thing. What it is, is not shown.
    """
    what = "gcp_credentials cannot be read."
    try:
        # Without `validate`, whatever is not base64 is skipped, as the line breaks of `base64` are.
        text = base64.b64decode(gcp_credentials)
        info: Any = json.loads(text)
    except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError):
        raise InvalidInput(what, seen="It is not the base64 of JSON.", remedy=_REMEDY) from None
    if not isinstance(info, dict):
        raise InvalidInput(what, seen="It is JSON, but no object.", remedy=_REMEDY)
    return cast("dict[str, Any]", info)


def secrets_of(gcp_credentials: str | None) -> list[str]:
    """What may not be shown of credentials."""
    if not gcp_credentials:
        return []
    try:
        info: Mapping[str, Any] = info_of(gcp_credentials)
    except InvalidInput:
        return [gcp_credentials]
    names = ("private_key", "private_key_id", "client_secret", "refresh_token")
    return [gcp_credentials, *(str(info[name]) for name in names if info.get(name))]


def credentials_of(gcp_credentials: str) -> tuple[Any, str | None]:
    """Credentials of Google's own library, and the project that they are of.

    Raises:
        InvalidInput: They cannot be read, or are of a kind that is not known.
    """
    info = info_of(gcp_credentials)
    kind = info.get("type")
    what = f"gcp_credentials of type {kind!r} cannot be used."
    try:
        if kind == "service_account":
            accounts = _google("google.oauth2.service_account").Credentials
            found = accounts.from_service_account_info(info, scopes=SCOPES)
        elif kind == "authorized_user":
            users = _google("google.oauth2.credentials").Credentials
            found = users.from_authorized_user_info(info, scopes=SCOPES)
        elif kind in {"external_account", "impersonated_service_account"}:
            found, _ = _google("google.auth").load_credentials_from_dict(info, scopes=SCOPES)
        else:
            raise InvalidInput(
                what,
                seen="Known are service_account, authorized_user, external_account and "
                "impersonated_service_account.",
                remedy=_REMEDY,
            )
    except ValueError as error:
        # What Google's library says of a key may quote it.
        missing = [
            name for name in ("client_email", "private_key", "token_uri") if name not in info
        ]
        seen = f"It lacks {', '.join(missing)}." if missing else "Its private key is none."
        raise InvalidInput(what, seen=seen, remedy=_REMEDY) from (error if missing else None)
    return found, info.get("project_id") or info.get("quota_project_id")


def default_credentials() -> tuple[Any, str | None]:
    """The credentials of the environment, as all of Google's libraries find them.

    Raises:
        Refused: There are none.
    """
    auth = _google("google.auth")
    try:
        return auth.default(scopes=SCOPES)
    except auth.exceptions.DefaultCredentialsError as error:
        raise Refused(
            "There are no credentials for BigQuery.",
            seen=str(error),
            remedy="Give gcp_credentials, as an EnvVar; or let the environment have some: "
            "`gcloud auth application-default login`, or a service account of the machine.",
        ) from error


def anonymous() -> Any:
    """No credentials at all, for an emulator."""
    return _google("google.auth.credentials").AnonymousCredentials()


def _google(module: str) -> ModuleType:
    return require(module, extra="bigquery", what="BigQuery")
