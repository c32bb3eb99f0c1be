"""The record that attribute questions ask for, and what is read of a reply to them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from valley.evaluate.products.goods import Offer
from valley.evaluate.products.words import COLOURS, KINDS, MATERIALS, PATTERNS, Language, say


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


@cache
def listing(language: Language) -> type[BaseModel]:
    """The record in a language: its values are words of it, its keys are English."""

    def one_of(table: dict[str, str]) -> Any:
        return Literal[tuple(say(word, language) for word in table)]

    fields: dict[str, Any] = {
        "brand": str,
        "kind": one_of(KINDS),
        "colour": one_of(COLOURS),
        "pattern": one_of(PATTERNS),
        "material": one_of(MATERIALS),
        "pieces": int,
        "price": float,
        "in_stock": bool,
    }
    required: dict[str, Any] = {name: (kind, ...) for name, kind in fields.items()}
    return create_model("Listing", __base__=_Strict, **required)


@cache
def schema(language: Language) -> str:
    """The JSON schema of the record on one line, without titles."""
    full = listing(language).model_json_schema()
    properties = {
        name: {key: value for key, value in rule.items() if key != "title"}
        for name, rule in full["properties"].items()
    }
    told = {"type": "object", "properties": properties, "required": full["required"]}
    return json.dumps(told | {"additionalProperties": False}, ensure_ascii=False)


def listing_of(offer: Offer, language: Language) -> BaseModel:
    product = offer.product
    return listing(language)(
        brand=offer.brand,
        kind=say(product.kind, language),
        colour=say(product.colour, language),
        pattern=say(product.pattern, language),
        material=say(offer.material, language),
        pieces=product.pieces,
        price=float(offer.price),
        in_stock=offer.in_stock,
    )


def read_listing(text: str, language: Language) -> dict[str, Any] | None:
    """The record in a reply, a code fence around it aside; None where it breaks the schema."""
    text = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        return listing(language).model_validate_json(text).model_dump()
    except ValidationError:
        return None
