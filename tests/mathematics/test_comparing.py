"""What is the same mathematics. Numbers are compared here, the rest in a child process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.mathematics import Checker, number, same_numbers


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker() as checker:
        yield checker


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("\u22125", -5),
        ("１２", 12),
        ("1,234,567", 1234567),
        ("12 345", 12345),
        ("1,234.5", 1234.5),
        ("3.", 3),
        (".5", 0.5),
        ("6e23", 6e23),
        ("-1.5E-3", -0.0015),
    ],
)
def test_plain_numbers(text: str, value: float) -> None:
    assert number(text) == value
    assert type(number(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "e5", "nan", "inf", "1e999", "1,23", "1 2", "1/2", "5 cm", "0x10", "1_000"],
)
def test_no_plain_numbers(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("answer", "truth", "same"),
    [
        ("5", "5.0", True),
        ("2023", "2024", False),
        ("10000001", "10000000", False),  # whole numbers are exact
        ("0.333333", "0.3333333", True),
        ("0.333", "0.3333333", False),
        ("0", "6.6e-34", False),
        ("1.6e-19", "6.6e-34", False),
        ("1" + "0" * 400, "1.5", False),
        ("x", "1", None),
    ],
)
def test_numbers_without_a_child(answer: str, truth: str, same: bool | None) -> None:
    assert same_numbers(answer, truth) is same
    assert same_numbers(truth, answer) is same


def test_the_tolerance_is_relative() -> None:
    assert same_numbers("101.0", "100.0", 0.02)
    assert not same_numbers("1.01e-9", "1e-9", 1e-3)
    assert same_numbers("101", "100", 0.02) is False


@given(st.integers(-(10**30), 10**30))
def test_a_whole_number_equals_itself_only(value: int) -> None:
    assert same_numbers(f"{value:,}", str(value))
    assert not same_numbers(str(value), str(value + 1))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_equals_itself(value: float) -> None:
    assert same_numbers(repr(value), repr(value))


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("1/2", "0.5"),
        ("$\\frac{1}{3}$", "0.333333"),
        ("\\(\\boxed{7}\\)", "7"),
        ("x=5", "5"),
        ("5", "x = 5"),
        ("2x+1=y", "y=2x+1"),
        ("x^2+2x+1", "(x+1)^2"),
        ("6.6*10^-34", "6.6e-34"),
        ("1.5 \\times 10^8", "150000000"),
        ("2**10", "1024"),
        ("2\\sqrt{3}", "\\sqrt{12}"),
        ("\\{2,1\\}", "{1,2}"),
        ("50%", "50"),
        ("50\\%", "0.5"),
        ("50 %", "50\\%"),
        ("12 cm", "12"),
        ("90^\\circ", "90"),
        ("10!", "3628800"),
        ("$5", "5"),
        ("\\text{Paris}", "Paris"),
    ],
)
def test_the_same(answer: str, truth: str, checker: Checker) -> None:
    assert checker.same(answer, truth)
    assert checker.killed == checker.refused == 0


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        ("1/3", "0.5"),
        ("x=5", "6"),
        ("y=2x", "y=2x+1"),
        ("0", "6.6*10^-34"),
        ("e^{1000}", "e^{2000}"),
        ("10^{400}", "10^{500}"),
        ("50%", "5000%"),
        ("stop", "post"),
        ("nan", "5"),
        ("\\infty", "5"),
        ("\\frac{1}{0}", "0"),
        ("", "5"),
        ("\x00\ud800\ufdd0", "5"),
        ("𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ☃ ٣", "5"),
        ("__import__('os').system('exit')", "5"),
        ("\\input{/etc/passwd}", "5"),
        ("1/2 and much more", "x+1"),
    ],
)
def test_not_the_same(answer: str, truth: str, checker: Checker) -> None:
    assert not checker.same(answer, truth)
    assert checker.killed == checker.refused == 0


def test_the_tolerance_reaches_the_child(checker: Checker) -> None:
    assert checker.same("22/7", "\\pi", tolerance=1e-3)
    assert not checker.same("22/7", "\\pi")
