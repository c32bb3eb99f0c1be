"""Numbers and foreign text as people read them."""

from __future__ import annotations

from valley.evaluate.items import Figure


def percent(value: float) -> str:
    """A value on a scale to 100."""
    return f"{value:.2f}"


def number(value: float) -> str:
    """A value on any scale: four digits after the point for a share, two for anything larger."""
    text = f"{value:,.{2 if abs(value) > 1 else 4}f}"
    return text.rstrip("0").rstrip(".")


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def span(figure: Figure, low: str = "low", high: str = "high") -> str:
    """Two ends of a figure, on the scale to 100."""
    ends = (figure.to_percent(getattr(figure, end)) for end in (low, high))
    return " – ".join(f"{end:.1f}" for end in ends)


def chance(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def visible(text: str) -> str:
    """Control characters as the pictures of them, but for line breaks and tabs; half characters as
    the sign for what is none."""
    shown = "".join(
        chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else "␡" if c == "\x7f" else c
        for c in text
    )
    return shown.encode("utf-8", "replace").decode()
