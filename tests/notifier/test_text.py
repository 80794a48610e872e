from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dagweave.notifier.text import cut, listed, printable


def doubled(character: str) -> int:
    return 2 if character in "<>&" else 1


@given(st.text(max_size=300), st.integers(0, 300))
def test_what_is_cut_never_measures_more_than_the_limit(text: str, limit: int):
    assert sum(map(doubled, cut(text, limit, width=doubled))) <= limit


@given(st.text(max_size=200))
def test_what_fits_is_left_as_it_is(text: str):
    assert cut(text, len(text)) == text


@given(st.text(alphabet="abcdef<&", min_size=200, max_size=400), st.integers(100, 199))
def test_a_cut_text_keeps_its_head_and_its_tail(text: str, limit: int):
    head, _, rest = cut(text, limit).partition("\n… ")
    note, _, tail = rest.partition(" …\n")

    assert text.startswith(head)
    assert text.endswith(tail)
    assert min(len(head), len(tail)) >= (limit - 40) // 2
    assert note == f"{len(text)} characters in all, cut"


def test_a_long_text_says_how_long_it_was():
    assert "60,000 characters in all" in cut("x" * 60_000, 1_000)


def test_terminal_colours_are_taken_out():
    assert printable("\x1b[31mDatabase Error\x1b[0m in model") == "Database Error in model"


def test_line_breaks_and_tabs_stay():
    assert printable("a\r\n\tb\nc") == "a\n\tb\nc"


@given(st.text(alphabet=st.characters(), max_size=100))
def test_what_is_printable_can_be_encoded_and_holds_no_control_characters(text: str):
    shown = printable(text)

    shown.encode()
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_plain_text_is_printable_as_it_is(text: str):
    assert printable(text) == text


def test_a_few_names_are_all_listed():
    assert listed(["a", "b", "c"], limit=3) == "a, b, c"


def test_many_names_are_counted():
    assert listed([f"m{n}" for n in range(10_000)], limit=2) == "m0, m1 and 9,998 more"
