"""The page as it is served. What it does in a browser is in `tests/browser/page.py`."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from valley.serve.routes import PAGE

NAMES = sorted(path.name for path in PAGE.iterdir())


class Outline(HTMLParser):
    """Tags with their attributes, and the words inside `script` and `style`."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @property
    def references(self) -> set[str | None]:
        return {attrs[name] for _, attrs in self.tags for name in ("src", "href") if name in attrs}


@pytest.fixture(scope="module")
def outline() -> Outline:
    return Outline((PAGE / "index.html").read_text(encoding="utf-8"))


def test_every_file_is_served_with_its_type(echo) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    with echo.client() as client:
        assert client.get("/").headers["content-type"].startswith("text/html")
        for name in NAMES:
            answer = client.get(f"/page/{name}")
            assert answer.status_code == 200
            assert answer.content == (PAGE / name).read_bytes()
            assert answer.headers["content-type"].startswith(kinds.get(Path(name).suffix, "text/"))


def test_nothing_but_its_own_files_may_run(echo) -> None:
    with echo.client() as client:
        policy = client.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["form-action"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"  # no text becomes markup


def test_the_page_keeps_to_that(outline: Outline) -> None:
    attributes = {name for _, attrs in outline.tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    assert all("src" in attrs for tag, attrs in outline.tags if tag == "script")
    assert "style" not in {tag for tag, _ in outline.tags}
    assert outline.references == {"/page/icon.svg", "/page/style.css", "/page/app.js"}
    for name in NAMES:
        text = (PAGE / name).read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?:|innerHTML|insertAdjacentHTML|eval\(", text)


def test_scripts_name_elements_that_there_are(outline: Outline) -> None:
    named = set(re.findall(r'\bat\("([\w-]+)"\)', (PAGE / "app.js").read_text(encoding="utf-8")))
    assert len(named) > 10
    assert named <= {attrs.get("id") for _, attrs in outline.tags}


def test_only_the_page_is_open_without_a_key(servers) -> None:
    with servers(api_keys=("a-long-key",)).client() as client:
        assert client.get("/").status_code == client.get("/page/app.js").status_code == 200
        assert client.get("/v1/models").status_code == 401
        for path in (
            "/page",
            "/page/../v1/models",
            "/page/%2e%2e/v1/models",
            "/page/..%2f..%2fapp.py",
        ):
            answer = client.build_request("GET", path)
            assert client.send(answer, follow_redirects=False).status_code in (401, 404), path
