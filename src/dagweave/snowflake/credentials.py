"""How a user logs in, and the key for it, in the forms that it comes in. Knows nothing of Dagster."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.extras import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_PEM = b"-----BEGIN "
_HOW = (
    "Give it as the text of a PEM file, as `base64` of such a file, or by private_key_path; make one "
    "as https://docs.snowflake.com/en/user-guide/key-pair-auth says."
)


def require_one_way(settings: Mapping[str, Any], *, who: str, none: bool = False) -> None:
    """Refuse settings with several ways to log in, or without any.

    Args:
        who: Whose settings they are, for the error.
        none: Whether there may be none, since the environment may have one.

    Raises:
        InvalidInput: Says which of them there are.
    """
    ways = ("password", "private_key", "private_key_path")
    given = [name for name in ways if settings.get(name) is not None]
    if len(given) > 1:
        raise InvalidInput(
            f"{who} was given more than one way to log in.",
            seen=f"It was given {' and '.join(given)}.",
            remedy="Give exactly one of password, private_key and private_key_path.",
        )
    if not none and not given and settings.get("authenticator") is None:
        raise InvalidInput(
            f"{who} was given no way to log in.",
            remedy="Give password, private_key or private_key_path; or an authenticator.",
        )


def private_key_der(
    *, text: str | None = None, path: str | None = None, password: str | None = None
) -> bytes:
    """The private key in the form that the connector takes: PKCS #8, DER, not encrypted.

    Args:
        text: The key: a PEM text, or the base64 of one, with or without line breaks.
        path: A PEM file, if there is no `text`; a file with the base64 of one will do.
        password: What an encrypted key is encrypted with.

    Raises:
        InvalidInput: There is no such file, or no key in it, or the password does not open it. No
            part of the key is in the error.
        MissingExtra: The connector is not installed, which brings what reads keys.
    """
    serialization = _serialization()
    key = _loaded(_pem(text, path), password, "private_key" if text else f"the file {path}")
    return key.private_bytes(
        encoding=serialization.Encoding.DER,
        format=serialization.PrivateFormat.PKCS8,
        encryption_algorithm=serialization.NoEncryption(),
    )


def private_key_pem(*, text: str | None = None, path: str | None = None) -> str:
    """The private key as PEM text, still encrypted if it was: what the ADBC driver takes.

    Raises:
        InvalidInput: There is no such file, or no key in it.
    """
    return _pem(text, path).decode()


def _pem(text: str | None, path: str | None) -> bytes:
    where = "private_key" if text else f"the file {path}"
    raw = text.encode() if text else _read(path or "")
    # A key that went through an environment variable often lost its line breaks to `\n`.
    raw = raw.replace(b"\\n", b"\n").strip()
    if raw.startswith(_PEM):
        return raw
    try:
        decoded = base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error:
        decoded = b""
    if not decoded.lstrip().startswith(_PEM):
        raise InvalidInput(
            f"There is no private key in {where}.",
            seen="It is neither PEM (`-----BEGIN ...`) nor the base64 of PEM.",
            remedy=_HOW,
        )
    return decoded.strip()


def _read(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"The private key {path} cannot be read.",
            seen=error.strerror,
            remedy="Check private_key_path; a relative path is relative to where the process runs.",
        ) from error


def _loaded(pem: bytes, password: str | None, where: str) -> Any:
    try:
        return _serialization().load_pem_private_key(
            pem, password=password.encode() if password else None
        )
    except TypeError as error:
        # How cryptography says that a password is missing, or that there is nothing to open.
        remedy = (
            "The key is not encrypted: take private_key_password away."
            if password
            else "The key is encrypted: give private_key_password."
        )
        raise InvalidInput(
            f"The private key in {where} cannot be loaded.", remedy=remedy
        ) from error
    except ValueError as error:
        remedy = "Check private_key_password. " if password else ""
        raise InvalidInput(
            f"The private key in {where} cannot be loaded.",
            seen="It is damaged, or of a kind that Snowflake does not take, or the password does "
            "not open it.",
            remedy=remedy + _HOW,
        ) from error


def _serialization() -> ModuleType:
    return require(
        "cryptography.hazmat.primitives.serialization",
        extra="snowflake",
        what="A Snowflake private key",
    )
