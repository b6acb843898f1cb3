"""Arithmetic: exact, quick, and never anything else."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from chat.agents.tools.base import ToolError
from chat.agents.tools.calculator import calculate


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("23 * 47", "1081"),
        ("23*47", "1081"),
        ("15% of 340", "51"),
        ("200 + 10%", "220"),
        ("200 - 10%", "180"),
        ("100 + 5% + 5%", "110.25"),
        ("200 * 10%", "20"),
        ("50%", "0.5"),
        ("10 % 3", "1"),
        ("2^10", "1024"),
        ("2**-1", "0.5"),
        ("7 × 8 ÷ 2 − 1", "27"),
        ("7 x 8", "56"),
        ("10/4", "2.5"),
        ("10/5", "2"),
        ("7 // 2", "3"),
        ("0.1 + 0.2", "0.3"),
        ("1,000,000 + 1", "1000001"),
        ("max(1, 2, 3)", "3"),
        ("sqrt(16) + √9", "7"),
        ("sin(pi / 2)", "1"),
        ("-3 + +2", "-1"),
        ("2^200", str(2**200)),
        ("99999999999 * 99999999999", "9999999999800000000001"),
        ("1/3", "0.333333333333"),
        ("1e20 * 1.5", "1.5e20"),
        ("12 + 30 = ?", "42"),
    ],
)
def test_the_calculator_knows_arithmetic(expression: str, result: str) -> None:
    assert calculate(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__",
        "open('/etc/passwd')",
        "[x for x in (1,)]",
        "lambda: 1",
        "'a' * 9",
        "True + 1",
        "1 if 1 else 2",
        "abs(1, key=2)",
        "x + 1",
        "",
        "1 +",
        "1/0",
        "log(0)",
        "(-8)^0.5",
        "1e308 * 10",
        "10 ** 10 ** 10",
        "9^9^9^9",
        "factorial(100000)",
        "round(5, -1000000000)",
        "(" * 300 + "1" + ")" * 300,
        "-" * 400 + "1",
        "1" * 501,
        "2^4095 * 2^4095",
    ],
)
def test_the_calculator_refuses_all_else_quickly(expression: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ToolError):
        calculate(expression)
    assert time.perf_counter() - began < 1


@given(st.text(alphabet="0123456789+-*/^%().,eix sqrtlogfacorial!×√ ", max_size=60))
def test_whatever_is_typed_gives_a_result_or_a_clear_error(expression: str) -> None:
    with suppress(ToolError):
        assert calculate(expression)


@given(a=st.integers(-(10**12), 10**12), b=st.integers(-(10**12), 10**12))
def test_whole_numbers_are_exact(a: int, b: int) -> None:
    assert calculate(f"{a} * ({b})") == str(a * b)
