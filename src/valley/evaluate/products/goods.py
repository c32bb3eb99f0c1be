"""Products and what is offered with them, drawn by lot from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import TypeVar

from valley.evaluate.products.words import (
    COLOURS,
    EN_SYLLABLES,
    KINDS,
    MATERIALS,
    PATTERNS,
    ZH_SYLLABLES,
    Language,
    say,
)

T = TypeVar("T")

#: What can be told of a product from its picture alone, with all values.
SEEN: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "colour": tuple(COLOURS),
    "pattern": tuple(PATTERNS),
}


@dataclass(frozen=True)
class Product:
    """What one looks like. `grain`: how fine its pattern is; `across`: whether stripes lie down."""

    kind: str
    colour: str
    pattern: str
    pieces: int = 1
    grain: int = 5
    across: bool = False

    def title(self, language: Language, brand: str = "") -> str:
        words = [say(word, language) for word in (self.pattern, self.colour, self.kind)]
        if language == "zh":
            pieces = f" {self.pieces}件装" if self.pieces > 1 else ""
            return f"{brand} {words[1]}{words[0]}{words[2]}{pieces}".strip()
        pieces = f", set of {self.pieces}" if self.pieces > 1 else ""
        return f"{brand} {' '.join(words)}{pieces}".strip()


@dataclass(frozen=True)
class Offer:
    """A product as it is sold. Prices are in the currency of the language."""

    product: Product
    brand: str
    price: Decimal
    old_price: Decimal | None
    rating: str
    sold: int
    in_stock: bool
    material: str


def other(rng: Random, values: Sequence[T], *than: T) -> T:
    """A value that is none of the given ones."""
    return rng.choice([value for value in values if value not in than])


def random_product(rng: Random, pieces: int = 1) -> Product:
    kind, colour, pattern = (rng.choice(values) for values in SEEN.values())
    return Product(kind, colour, pattern, pieces, rng.choice((4, 5, 6)), rng.random() < 0.5)


def changed(rng: Random, product: Product, what: str) -> Product:
    """The product with another kind, colour or pattern."""
    return replace(product, **{what: other(rng, SEEN[what], getattr(product, what))})


def random_brand(rng: Random, language: Language) -> str:
    if language == "zh":
        return "".join(rng.sample(ZH_SYLLABLES, 2))
    return "".join(rng.sample(EN_SYLLABLES, rng.choice((2, 3)))).capitalize()


def random_price(rng: Random, low: int = 3, high: int = 400) -> Decimal:
    """Whole parts spread evenly over orders of magnitude, any cents."""
    whole = int(low * (high / low) ** rng.random())
    return Decimal(f"{whole}.{rng.randrange(100):02d}")


def price_text(price: Decimal, language: Language) -> str:
    return f"{'$' if language == 'en' else '¥'}{price}"


def random_offer(rng: Random, language: Language, product: Product | None = None) -> Offer:
    price = random_price(rng)
    rise = Decimal(rng.randrange(110, 190)) / 100
    return Offer(
        product=product or random_product(rng, rng.choice((1, 1, 2, 3))),
        brand=random_brand(rng, language),
        price=price,
        old_price=(price * rise).quantize(Decimal("0.01")) if rng.random() < 0.6 else None,
        rating=f"{rng.randrange(35, 50) / 10:.1f}",
        sold=rng.randrange(20, 9000),
        in_stock=rng.random() < 0.5,
        material=rng.choice(tuple(MATERIALS)),
    )


def four_titles(rng: Random, product: Product) -> list[Product]:
    """The product and three others that differ in two respects crosswise.

    Every one of the four shares as much with the rest as any other, so that nothing in the list
    tells which one is meant.
    """
    first, second = rng.sample(tuple(SEEN), 2)
    one, two = changed(rng, product, first), changed(rng, product, second)
    both = replace(one, **{second: getattr(two, second)})
    return [product, one, two, both]


def four_prices(rng: Random, price: Decimal) -> list[Decimal]:
    """The price and three others: two whole parts with two numbers of cents, crosswise."""
    whole, cents = divmod(int(price * 100), 100)
    digits = list(str(whole))
    while (near := "".join(digits)) == str(whole) or near.startswith("0"):
        digits = list(str(whole))
        digits[rng.randrange(len(digits))] = str(rng.randrange(10))
    far = other(rng, range(100), cents)
    return [Decimal(f"{w}.{c:02d}") for w in (whole, int(near)) for c in (cents, far)]
