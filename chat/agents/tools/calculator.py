"""The calculator: arithmetic on the syntax tree, never `eval`."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from chat.agents.tools.base import ToolError
from chat.agents.tools.spoken_arithmetic import expression_in

Number = int | float

MAX_LENGTH: Final = 500
MAX_DEPTH: Final = 50
MAX_BITS: Final = 4096  # of any integer on the way
MAX_FACTORIAL: Final = 400
MAX_DIGITS: Final = 100

_SIGNS: Final = str.maketrans(
    {
        "×": "*",
        "⋅": "*",
        "·": "*",
        "÷": "/",
        "∕": "/",
        "−": "-",
        "–": "-",
        "π": "pi",
        "τ": "tau",
        "√": " sqrt ",
        "\N{NO-BREAK SPACE}": " ",
        "\N{NARROW NO-BREAK SPACE}": " ",
        "²": "**2",
        "³": "**3",
    }
)
_THOUSANDS: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_NUMBER: Final = r"(?:\d+(?:\.\d*)?|\.\d+)"
_PERCENT_OF: Final = re.compile(rf"({_NUMBER})\s*(?:%|percent)\s*of\b", re.IGNORECASE)
_MORE_PERCENT: Final = re.compile(
    rf"([+-])\s*({_NUMBER})\s*%(?!\s*(?:[\w(.]))", re.IGNORECASE
)
_PERCENT: Final = re.compile(rf"({_NUMBER}|\))\s*%(?!\s*[\w(.])")
_ROOT: Final = re.compile(rf"\bsqrt\s+({_NUMBER})")


def _factorial(value: Number) -> int:
    if value != int(value) or not 0 <= value <= MAX_FACTORIAL:
        raise ToolError(f"factorial takes whole numbers from 0 to {MAX_FACTORIAL}.")
    return math.factorial(int(value))


def _round(value: Number, digits: Number = 0) -> Number:
    if abs(digits) > MAX_DIGITS:
        raise ToolError(f"round takes at most {MAX_DIGITS} digits.")
    return round(value, int(digits)) if digits else round(value)


def _log(value: Number, base: Number = math.e) -> float:
    return math.log(value) if base == math.e else math.log(value, base)


def _sqrt(value: Number) -> Number:
    if isinstance(value, int) and value >= 0:
        root = math.isqrt(value)
        if root * root == value:
            return root
    return math.sqrt(value)


FUNCTIONS: Final[Mapping[str, Callable[..., Number]]] = {
    "abs": abs,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "cbrt": math.cbrt,
    "ceil": math.ceil,
    "cos": math.cos,
    "cosh": math.cosh,
    "degrees": math.degrees,
    "exp": math.exp,
    "factorial": _factorial,
    "floor": math.floor,
    "gcd": math.gcd,
    "hypot": math.hypot,
    "lcm": math.lcm,
    "ln": math.log,
    "log": _log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "radians": math.radians,
    "round": _round,
    "sin": math.sin,
    "sinh": math.sinh,
    "sqrt": _sqrt,
    "tan": math.tan,
    "tanh": math.tanh,
    "trunc": math.trunc,
}
CONSTANTS: Final = {"pi": math.pi, "e": math.e, "tau": math.tau}


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int):
        if base.bit_length() * abs(exponent) > MAX_BITS and abs(base) > 1:
            raise ToolError("The result would be too large to calculate exactly.")
        if exponent < 0:
            return float(base) ** exponent
    result = base**exponent
    if isinstance(result, complex):
        raise ToolError("The result is not a real number.")
    return result


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return left // right
    return left / right


_BINARY: Final[Mapping[type[ast.operator], Callable[[Number, Number], Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[Number], Number]]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def calculate(expression: str) -> str:
    """The value of an arithmetic expression, as people write it."""
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"The expression is longer than {MAX_LENGTH} characters.")
    try:
        tree = ast.parse(_as_python(expression), mode="eval")
        value = _value(tree.body, 0)
        return _format(value)
    except (SyntaxError, TypeError, RecursionError, MemoryError):
        raise ToolError("That is not an arithmetic expression.") from None
    except ZeroDivisionError:
        raise ToolError("Division by zero has no result.") from None
    except OverflowError:
        raise ToolError("The result is too large.") from None
    except ValueError:
        raise ToolError("The expression has no result.") from None


def _as_python(expression: str) -> str:
    """The expression in Python's syntax: signs, thousands, percents, powers."""
    text = " ".join(expression.translate(_SIGNS).split()).rstrip("=? ")
    text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    text = re.sub(r"(?<=[\d)\s])\s*[xX](?=\s*[\d(.])", "*", text)
    text = _ROOT.sub(r"sqrt(\1)", text)
    text = _PERCENT_OF.sub(r"\1/100*", text)
    text = re.sub(r"\bpercent\b", "%", text, flags=re.IGNORECASE)
    text = _add_percents(text)
    text = _PERCENT.sub(r"\1/100", text)
    return text.replace("^", "**")


def _add_percents(text: str) -> str:
    """`a + 10%` is `a` and ten percent of it: `(a) * (1 + 10/100)`."""
    while found := _MORE_PERCENT.search(text):
        before = text[: found.start()]
        if not before.strip() or before.count("(") != before.count(")"):
            return text
        text = f"({before.strip()})*(1{found[1]}{found[2]}/100){text[found.end() :]}"
    return text


def _value(node: ast.expr, depth: int) -> Number:
    if depth > MAX_DEPTH:
        raise ToolError("The expression is nested too deeply.")
    match node:
        case ast.Constant(value=bool()):
            raise TypeError
        case ast.Constant(value=int() | float() as value):
            return _bounded(value)
        case ast.Name(id=name) if name.lower() in CONSTANTS:
            return CONSTANTS[name.lower()]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand, depth + 1))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            values = _value(left, depth + 1), _value(right, depth + 1)
            return _bounded(_BINARY[type(op)](*values))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            function = FUNCTIONS.get(name.lower())
            if function is None:
                raise ToolError(f"There is no function “{name}” here.")
            return _bounded(function(*(_value(arg, depth + 1) for arg in args)))
        case _:
            raise TypeError


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ToolError("The result would be too large to calculate exactly.")
    return value


def _format(value: Number) -> str:
    """Whole numbers exactly; others to 12 digits, without an empty fraction."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise OverflowError
    text = f"{value:.12g}"
    if "e" not in text:
        return "0" if text == "-0" else text
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"


class Calculator:
    """Works out arithmetic."""

    name = "calculator"
    description = (
        "Evaluate an arithmetic expression exactly. Knows + - * / // % ^, "
        "parentheses, percentages (“15% of 340”, “200 + 10%”), sqrt, sin, log and "
        "the like, pi and e."
    )
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "The expression, for example “23 * (47 + 1)”.",
            }
        },
        "required": ["expression"],
    }
    repeatable = True
    time_limit: float | None = 5.0

    async def call(self, arguments: dict[str, Any]) -> str:
        """The value of `expression`."""
        expression = arguments.get("expression")
        if isinstance(expression, int | float):
            expression = str(expression)
        if not isinstance(expression, str) or not expression.strip():
            raise ToolError("The argument “expression” is missing.")
        return calculate(expression)

    def recognise(self, prompt: str) -> dict[str, Any] | None:
        """Arithmetic that makes up the whole prompt, polite words aside."""
        expression = expression_in(prompt, FUNCTIONS)
        if not expression:
            return None
        try:
            calculate(expression)
        except ToolError as error:
            # Division by zero is arithmetic all the same; nonsense is not.
            if str(error).startswith("That is not"):
                return None
        return {"expression": expression}
