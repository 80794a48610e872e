from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dagweave._kernel.errors import InvalidInput, Refused
from dagweave.snowflake import SnowflakeResource
from snowflake_server import answering, failed

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PASSPHRASE = "open sesame"


def pem(password: str | None) -> str:
    lock: Any = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    return KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
    ).decode()


def forms(password: str | None, folder: Path) -> dict[str, dict[str, str]]:
    text = pem(password)
    (folder / "key.p8").write_text(text)
    encoded = base64.b64encode(text.encode()).decode()
    return {
        "text": {"private_key": text},
        "text with escaped line breaks": {"private_key": text.replace("\n", "\\n")},
        "base64": {"private_key": encoded},
        "base64 in lines": {
            "private_key": "\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
        },
        "path": {"private_key_path": str(folder / "key.p8")},
    }


@pytest.mark.parametrize("password", [None, PASSPHRASE])
@pytest.mark.parametrize(
    "form", ["text", "text with escaped line breaks", "base64", "base64 in lines", "path"]
)
def test_a_key_logs_in_in_every_form(password: str | None, form: str, tmp_path: Path):
    with answering() as told:
        resource = SnowflakeResource(
            account="acme",
            user="loader",
            base_url=told.url,
            private_key_password=password,
            **forms(password, tmp_path)[form],
        )
        with resource.get_connection():
            pass

    (login,) = told.logins
    assert login["AUTHENTICATOR"] == "SNOWFLAKE_JWT"
    assert login["TOKEN"].count(".") == 2


@pytest.mark.parametrize(
    ("password", "given", "says"),
    [
        (PASSPHRASE, None, "give private_key_password"),
        (PASSPHRASE, "wrong", "Check private_key_password"),
        (None, "needless", "not encrypted"),
    ],
)
def test_a_password_that_does_not_open_the_key(
    password: str | None, given: str | None, says: str, tmp_path: Path
):
    for form in forms(password, tmp_path).values():
        resource = SnowflakeResource(account="a", user="u", private_key_password=given, **form)
        with pytest.raises(InvalidInput, match=says) as caught, resource.get_connection():
            pass
        assert pem(password)[60:100] not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["garbage!", base64.b64encode(b"nothing").decode(), "-----BEGIN X-----\nAA"]
)
def test_what_is_no_key_is_not_shown(text: str):
    resource = SnowflakeResource(account="a", user="u", private_key=text)

    with pytest.raises(InvalidInput, match="private key") as caught, resource.get_connection():
        pass

    assert text not in str(caught.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path):
    resource = SnowflakeResource(account="a", user="u", private_key_path=str(tmp_path / "no.p8"))

    with pytest.raises(InvalidInput, match=r"no\.p8 cannot be read"), resource.get_connection():
        pass


def test_a_key_that_snowflake_does_not_know_is_refused():
    with answering() as told:
        told.login = failed("390144", "08004", "JWT token is invalid. [0ce9eb56-821d-4ca9-a774]")
        resource = SnowflakeResource(
            account="acme", user="loader", base_url=told.url, private_key=pem(None)
        )
        with pytest.raises(Refused, match="RSA_PUBLIC_KEY"), resource.get_connection():
            pass
