"""Each public name of the official packages exists here, or absent.toml says why not."""

from __future__ import annotations

import pytest

from architecture import parity

INTEGRATIONS = sorted(parity.PACKAGES)


def listed(integration: str) -> list[str]:
    return [name for names in parity.absent().get(integration, {}).values() for name in names]


def test_the_list_of_official_names_covers_every_package_with_its_version():
    found = {name: sorted(packages) for name, packages in parity.official().items()}

    assert found == parity.PACKAGES
    for packages in parity.official().values():
        assert all(package["version"] and package["names"] for package in packages.values())


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_an_official_name_is_here_or_it_is_said_why_not(integration: str):
    missing = parity.official_names(integration) - parity.ours(integration)

    assert sorted(missing - set(listed(integration))) == []


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_what_is_listed_as_absent_is_official_listed_once_and_not_here(integration: str):
    names = listed(integration)

    assert sorted(set(names) & parity.ours(integration)) == []
    assert sorted(set(names) - parity.official_names(integration)) == []
    assert len(names) == len(set(names))


def test_every_absence_has_a_kind_and_a_reason():
    assert set(parity.absent()) <= set(parity.PACKAGES)
    for kinds in parity.absent().values():
        assert set(kinds) <= set(parity.WHY)
        assert all(reason.endswith(".") for names in kinds.values() for reason in names.values())


def test_the_page_of_the_docs_is_what_the_code_and_the_list_say():
    assert parity.PAGE.read_text() == parity.page(), "Run: python tests/architecture/parity.py"
