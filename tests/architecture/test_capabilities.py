from __future__ import annotations

from architecture import capabilities


def test_the_page_says_what_the_engines_declare():
    # If it does not: python tests/architecture/capabilities.py
    assert capabilities.PAGE.read_text(encoding="utf-8") == capabilities.page()


def test_what_is_lacking_has_a_reason():
    for declared in capabilities.declared().values():
        assert [feature for feature, each in declared.items() if not each and not each.reason] == []
