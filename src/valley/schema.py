"""JSON schemas that a reply can be held to. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

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


def read_schema(path: Path) -> str:
    """The schema in a file, on one line. Raises ValueError if a reply cannot be held to it."""
    try:
        text = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
        return schema_text(text)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): name a JSON schema") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {_line(error)}") from None


def choices_of(schema: str, field: str) -> tuple[str, ...]:
    """The words that a field of an object may hold. Raises ValueError where it has no such list."""
    declared = json.loads(schema)
    properties = declared.get("properties") if isinstance(declared, dict) else None
    rule = properties.get(field) if isinstance(properties, dict) else None
    words = rule.get("enum") if isinstance(rule, dict) else None
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f"the schema has no field {field!r} with an enum of words")
    return tuple(words)


def value_of(text: str, schema: str) -> Any:
    """The value that a text holds. Raises ValueError for what is no JSON, or not of the schema."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {_line(error)}") from None
    problem = next(iter(_validator(schema).iter_errors(value)), None)
    if problem is not None:
        where = "".join(f"/{step}" for step in problem.instance_path) or "the reply"
        raise ValueError(f"not of the schema: {where}: {_line(problem.message)}")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


@lru_cache(maxsize=16)
def _validator(schema: str) -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        raise ValueError(
            "checking replies needs jsonschema_rs: pip install 'valley-vlm[serve]'"
        ) from None

    def nothing_elsewhere(uri: str) -> NoReturn:
        raise ValueError(f"{uri} is not fetched")

    try:
        return jsonschema_rs.validator_for(json.loads(schema), retriever=nothing_elsewhere)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"the schema is not to be used: {_line(error)}") from None


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
