"""No body whatsoever makes the server fail. `FUZZ_EXAMPLES` sets how many are tried."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from .conftest import MEDIA, question

CHAT = "/v1/chat/completions"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
CARD = (MEDIA / "card.png").read_bytes()
bounded = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

text = st.text(max_size=20)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A picture as a data URI, some of its bytes other than they were."""
    data = bytearray(CARD[: draw(st.integers(0, len(CARD)))])
    for _ in range(draw(st.integers(0, 4)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    kind = draw(st.sampled_from(["image/png", "video/mp4", "", "text/html"]))
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A request that is right but for some fields, at any depth."""
    url = draw(damaged() | text)
    body: Any = question(draw(text), url, stream=draw(st.booleans()))
    body |= {
        "temperature": 1,
        "stop": ["a"],
        "response_format": {"type": "json_object"},
        "valley": {"max_pixels": 10_000},
        "logprobs": True,
    }
    for _ in range(draw(st.integers(0, 3))):
        place = body
        while True:
            key = draw(st.sampled_from(list(place))) if isinstance(place, dict) else 0
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or draw(st.booleans()):
                break
            place = inner
        place[key] = draw(anything)
    return body


def test_no_body_is_a_server_error(echo) -> None:
    with echo.client() as client:

        @bounded
        @given(bodies())
        def fuzz(body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            for path in (CHAT, "/v1/count"):
                headers = {"Content-Type": "application/json"}
                answer = client.post(path, content=content, headers=headers)
                assert answer.status_code in (200, 400, 404), answer.text
                if answer.status_code != 200:
                    assert answer.json()["error"]["message"]

        fuzz()
        assert client.get("/ready").status_code == 200


def test_no_schema_is_a_server_error(echo) -> None:
    with echo.client() as client:
        kinds = st.sampled_from(["object", "string", "array", "integer", "nothing"])

        @bounded
        @given(st.dictionaries(st.sampled_from(KEYWORDS), anything | kinds, max_size=4))
        def fuzz(schema: dict[str, Any]) -> None:
            wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
            content = json.dumps(question("hi", response_format=wanted)).encode()
            answer = client.post(
                CHAT, content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code in (200, 400), answer.text

        fuzz()


KEYWORDS = [
    *("type", "properties", "items", "pattern", "$ref", "anyOf", "allOf", "enum", "const"),
    *("minLength", "maxLength", "minItems", "maxItems", "minimum", "multipleOf", "format"),
    *("additionalProperties", "required", "prefixItems", "$defs", "not", "patternProperties"),
]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_openapi_document_is_true(echo, mode) -> None:
    with echo.client() as client:
        document = client.get("/openapi.json").json()
    # A body may be of the right shape and still name a picture that is none.
    load_all_checks()
    unfit = CHECKS.get_one("positive_data_acceptance")
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=echo.url)
    operations = [item.ok() for item in schema.get_all_operations() if isinstance(item, Ok)]
    assert len(operations) == 6
    if mode is GenerationMode.NEGATIVE:  # the others take nothing that could be wrong
        operations = [operation for operation in operations if operation.body]
        assert len(operations) == 2
    for operation in operations:

        @settings(bounded, max_examples=max(10, EXAMPLES // 6))
        @given(operation.as_strategy(generation_mode=mode))
        def fuzz(case: schemathesis.Case) -> None:
            case.call_and_validate(excluded_checks=[unfit], timeout=30)

        fuzz()
