"""JSON schemas that a reply can be held to. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: Any JSON object.
ANY_OBJECT = '{"type": "object"}'
#: Characters of a schema: larger ones take long to compile.
MAX_SCHEMA = 65_536


def schema_text(schema: str | Mapping[str, Any]) -> str:
    """A schema as JSON text. Raises ValueError if a reply cannot be held to it."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    if len(text) > MAX_SCHEMA:
        raise ValueError(f"the schema has {len(text)} characters, above the limit of {MAX_SCHEMA}")
    grammar_of(text)
    return text


def grammar_of(schema: str) -> str:
    """The grammar of JSON that a schema allows, without free white space: a weak model would
    write that for ever."""
    try:
        from llguidance import LLMatcher
    except ImportError:
        raise ValueError("schemas need llguidance: pip install 'valley-vlm[serve]'") from None
    options: Any = {"whitespace_flexible": False}
    with panics_as_errors():
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=options)
        if problem := LLMatcher.validate_grammar(grammar):
            raise ValueError(f"the schema is not to be used: {_line(problem)}")
    return grammar


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """llguidance panics on some odd schemas, which passes by every `except Exception`."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError("the schema is not to be used: it is too odd to compile") from None


def _line(problem: object) -> str:
    return " ".join(str(problem).split())[:300]
