"""The report as one page of HTML that asks nothing of the network.

Everything from a model or a data set is escaped, and the page's own policy allows no script, style
or picture but those inside it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from valley.evaluate.report.samples import LONGEST, Sample
from valley.evaluate.report.summary import Summary
from valley.evaluate.report.wording import chance, number, percent, signed, span, visible


def render(summary: Summary, samples: Sequence[Sample]) -> str:
    """The page."""
    page = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {
        "percent": percent,
        "number": number,
        "signed": signed,
        "span": span,
        "chance": chance,
        "words": _words,
    }
    style, script = _text("page.css"), _text("page.js")
    return page.get_template("page.html").render(
        summary=summary,
        samples=samples,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _text(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What names an inline script or style in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _words(text: str | None) -> str:
    """A text of a model or a data set: its control characters seen, and not too long."""
    text = "" if text is None else text
    more = len(text) - LONGEST
    return visible(text[:LONGEST]) + (f" … and {more:,} more characters" if more > 0 else "")
