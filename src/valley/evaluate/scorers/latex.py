"""Equality as VLMEvalKit's MathVision has it: as text, as arithmetic, or as LaTeX.

It evaluates what a model wrote. Here arithmetic is read by a small interpreter, and all of it runs
in a child process that ends when it takes too long, this file being its program.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from valley.mathematics import Checker, Comparison
from valley.mathematics.serving import serve

#: How far numbers may be apart.
TOLERANCE = 1e-6

_DECIMAL = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}


def is_equal(answer: str, truth: str) -> bool:
    """Whether an answer is the truth. Long or deeply nested texts are equal only as text."""
    answer, truth = answer.lower().strip(), truth.lower().strip()
    return answer == truth or (
        len(truth) <= checker().limits.length and checker().same(answer, truth, TOLERANCE)
    )


@cache
def checker() -> Checker:
    """The child of this process that compares in this way."""
    return Checker(comparison=Comparison(__file__, _plain))


def _plain(answer: str, truth: str, tolerance: float) -> bool | None:
    if _DECIMAL.fullmatch(answer) and _DECIMAL.fullmatch(truth):
        return abs(float(truth) - float(answer)) < tolerance
    return None


def same(answer: str, truth: str, tolerance: float) -> bool:
    """For a child process only: it may not return."""
    return any(_close(values, answer, truth, tolerance) for values in (_numbers, _latex))


def _close(
    values: Callable[[str, str], tuple[Any, Any]], answer: str, truth: str, tolerance: float
) -> bool:
    try:
        first, second = values(truth, answer)
        return bool(abs(first - second) < tolerance)
    except Exception:  # of the parser, or of arithmetic such as a division by zero
        return False


def _numbers(truth: str, answer: str) -> tuple[Any, Any]:
    """Both as arithmetic. VLMEvalKit evaluates the answer where its own variable `a` is the truth:
    the answer `A` is every number."""
    value = arithmetic(truth)
    return value, arithmetic(answer, {"a": value})


def arithmetic(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """The number that an expression of Python's numbers and operators is, and of `names`. Raises
    ValueError or SyntaxError for all other text."""
    return _value(ast.parse(text.strip(), mode="eval").body, names or {})


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() | complex() as value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left, operation, right) if type(operation) in _BINARY:
            return _BINARY[type(operation)](_value(left, names), _value(right, names))
        case ast.UnaryOp(operation, operand) if type(operation) in _UNARY:
            return _UNARY[type(operation)](_value(operand, names))
    raise ValueError(f"{ast.dump(node)[:80]} is no arithmetic")


def _latex(truth: str, answer: str) -> tuple[Any, Any]:
    """Both as LaTeX whose SymPy form is arithmetic, with VLMEvalKit's variables `a` and `b` again.
    A percent sign is none: the parser that it pins does not read it, later ones do."""
    from latex2sympy2_extended import latex2sympy

    if "%" in truth + answer:
        raise ValueError("a percent sign is not read")
    names = {"a": latex2sympy(truth), "b": latex2sympy(answer)}
    return arithmetic(str(names["a"]), names), arithmetic(str(names["b"]), names)


if __name__ == "__main__":
    serve(same, ("\\frac{1}{2}", "0.5"))
