"""The page of `valley serve` in Chromium. Not collected by itself, as it needs the browser:

bash .ci/browser
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.contrast import faint
from browser.devtools import Page
from serve.conftest import MEDIA, Server

pytest_plugins = ("serve.conftest",)

CARD, CLIP, PHOTOGRAPH = (MEDIA / name for name in ("card.png", "clip.mp4", "photograph.jpg"))
SHIFT = 8
COUNTED = """[...document.querySelectorAll('#media .cost')].every((one) =>
  one.innerText.includes('token')) && document.getElementById('cost').value"""
#: Keeps what the page sends.
SPY = """(() => {
  const real = fetch;
  window.sent = [];
  window.fetch = (path, options) => {
    if (options?.body) sent.push({path, body: JSON.parse(options.body)});
    return real(path, options);
  };
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def opened(browser: Page, server: Server) -> Iterator[Page]:
    """The page, which must neither complain nor ask anybody else for anything."""
    browser.show(1000)
    browser.visit("about:blank#")
    browser.errors.clear()
    browser.requests.clear()
    browser.visit(server.url + "/")
    yield browser
    assert browser.errors == []
    assert {url.removeprefix("blob:").startswith(server.url + "/") for url in browser.requests} == {
        True
    }


@pytest.fixture
def page(browser: Page, echo: Server) -> Iterator[Page]:
    """The page over an engine that says what it is told to."""
    for page in opened(browser, echo):
        page.until("document.getElementById('model').innerText == 'nano'")
        yield page


def text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector({json.dumps(selector)}).innerText"))


def count(page: Page, selector: str) -> int:
    return int(page.run(f"document.querySelectorAll({json.dumps(selector)}).length"))


def problem(page: Page) -> str:
    page.until("document.getElementById('problem').innerText")
    return text(page, "#problem")


def add(page: Page, *files: Path) -> None:
    """Drop files and wait for what they cost."""
    page.drop(*files)
    page.until(f"document.querySelectorAll('#media figure').length == {len(files)} && {COUNTED}")


def ask(page: Page, words: str) -> str:
    """Ask from the keyboard; the whole answer."""
    number = count(page, ".answer")
    page.run("document.getElementById('words').focus()")
    page.type(words)
    page.press("Enter")
    page.until(f"document.querySelectorAll('.answer[aria-busy=false]').length == {number + 1}")
    page.until("document.getElementById('stop').hidden")
    return str(page.run("[...document.querySelectorAll('.answer .words')].at(-1).innerText"))


def forgive(page: Page, status: int) -> None:
    """Chromium itself writes refusals into the console."""
    page.run("0")
    page.errors[:] = [error for error in page.errors if f"status of {status}" not in error]


def sent(page: Page, path: str = "/v1/chat/completions") -> list[dict[str, Any]]:
    return [item["body"] for item in page.run("sent") if item["path"] == path]


def test_a_picture_is_dropped_counted_and_asked_about(browser: Page, nano: Server) -> None:
    for page in opened(browser, nano):
        page.drag("dragEnter", CARD)
        assert page.run("getComputedStyle(document.body, '::after').content") == '"Drop to add"'
        page.drag("dragCancel")
        add(page, CARD)
        assert text(page, "#media .cost") == "252×280, seen as 252×280\n90 tokens"
        assert re.fullmatch(
            r"\d+ tokens of 4,096", page.run("document.getElementById('cost').value")
        )
        page.run("""(() => {
          window.seen = new Set();
          new MutationObserver(() => seen.add(document.querySelector('.words')?.innerText))
            .observe(document.getElementById('thread'), {childList: true, subtree: true});
        })()""")
        answer = ask(page, "What is the price?")
        assert re.fullmatch(r"\$\d+\.\d\d", answer)
        grown = [part for part in page.run("[...seen]") if part]
        assert len(grown) > 2
        assert all(answer.startswith(part) for part in grown)
        assert re.fullmatch(r"\d+ tokens read, \d+ written, [\d.]+ s", text(page, ".note"))


def test_boxes_lie_on_the_picture(page: Page) -> None:
    add(page, CARD)
    ask(page, "say: The <ref>lamp</ref><box>[[250, 0, 750, 400]]</box> and [0, 0.5, 0.25, 1.0].")
    assert count(page, ".drawn rect") == 1
    sides = [
        float(page.run(f"document.querySelector('.drawn rect').getAttribute('{name}')"))
        for name in ("x", "y", "width", "height")
    ]
    assert sides == [63, 0, 126, 112]
    assert text(page, ".boxed li") == "lamp 63, 0, 189, 112"
    assert page.run("document.querySelector('.drawn svg').ariaLabel") == "1 box on card.png"
    page.until("document.querySelector('.drawn img').complete")
    picture, box = (
        page.run(f"document.querySelector('.drawn {name}').getBoundingClientRect().toJSON()")
        for name in ("img", "rect")
    )
    assert box["x"] - picture["x"] == pytest.approx(picture["width"] / 4, abs=2)
    assert box["width"] == pytest.approx(picture["width"] / 2, abs=4)
    assert box["height"] == pytest.approx(picture["height"] * 0.4, abs=4)


def test_boxes_of_several_pictures(page: Page) -> None:
    add(page, CARD, CLIP, PHOTOGRAPH)
    ask(page, "say: A [0, 0, 1, 1]. On image 10: [0.5, 0.5, 1, 1]. On image 3: [0, 0, 0.5, 0.5].")
    told = page.run("""[...document.querySelectorAll('.boxed')].map((one) => [
      one.querySelector('span').innerText,
      [...one.querySelectorAll('li')].map((line) => line.innerText),
      [...one.querySelectorAll('rect')].map((area) => area.matches('.unsure'))])""")
    doubt = " (the answer does not say on which picture)"
    assert told == [
        ["1 box on card.png", [f"box 1 0, 0, 252, 280{doubt}"], [True]],
        [
            "2 boxes on photograph.jpg",
            [f"box 1 0, 0, 400, 267{doubt}", "box 2 200, 134, 400, 267"],
            [True, False],
        ],
        ["1 box on clip.mp4", ["box 1 0, 0, 42, 42, frame 2"], []],
    ]


def test_no_key_is_asked_for_where_none_is_needed(page: Page) -> None:
    assert not page.run("document.getElementById('key-form').checkVisibility()")


def test_thinking_is_folded_away(page: Page) -> None:
    assert ask(page, "say: <think>two and two</think>four") == "four"
    thinking = "document.querySelector('.answer details')"
    assert page.run(f"{thinking}.checkVisibility() && !{thinking}.open")
    assert text(page, ".answer summary") == "Thought"
    page.click(".answer summary")
    assert text(page, ".answer details") == "Thought\n\ntwo and two"
    ask(page, "say: no thoughts")
    assert page.run("document.querySelectorAll('.answer details')[1].hidden")


def test_words_of_a_model_are_words(page: Page) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    answer = ask(page, f"say: {hostile}\n```html\n{hostile}\n```\nend")
    assert answer.split() == f"{hostile} {hostile} end".split()
    assert text(page, ".words pre") == hostile
    assert count(page, "#thread img, #thread script") == 0


def test_several_rounds_are_one_conversation(page: Page) -> None:
    page.run(SPY)
    add(page, CARD)
    ask(page, "say: first")
    ask(page, "say: second")
    messages = sent(page)[1]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"][0]["type"] == "image_url"
    assert messages[1]["content"] == "first"
    assert messages[2]["content"] == "say: second"
    page.click("#clear")
    assert count(page, "article") == 0
    ask(page, "say: third")
    assert len(sent(page)[2]["messages"]) == 1


def test_options_are_part_of_the_request(page: Page) -> None:
    page.run(SPY)
    page.click("#options summary")
    page.run("""(() => {
      document.getElementById('most').value = '7';
      document.getElementById('system').value = 'Be brief.';
    })()""")
    ask(page, "say: yes")
    (body,) = sent(page)
    assert "valley" not in body
    assert body["max_tokens"] == 7
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    page.run("document.getElementById('thinking').value = 'true'")
    page.run("document.getElementById('words').focus()")
    page.type("and now?")
    page.press("Enter")
    assert "no switch for thinking" in problem(page)
    assert sent(page)[1]["valley"] == {"thinking": True}
    forgive(page, 400)


@pytest.mark.parametrize(
    "stop", [lambda page: page.press("Escape"), lambda page: page.click("#stop")]
)
def test_an_answer_is_stopped(page: Page, stop: Callable[[Page], None]) -> None:
    page.click("#words")
    page.type("forever")
    page.press("Enter")
    page.until("/on on on/.test(document.querySelector('.words')?.innerText)")
    stop(page)
    page.until("document.querySelector('.note').innerText == 'Stopped'")
    assert ask(page, "say: still here") == "still here"


def test_a_new_chat_drops_the_answer_that_is_coming(page: Page) -> None:
    page.click("#words")
    page.type("forever")
    page.press("Enter")
    page.until("/on on/.test(document.querySelector('.words')?.innerText)")
    page.click("#clear")
    page.until("document.getElementById('stop').hidden")
    assert count(page, "article") == 0
    assert page.run("document.getElementById('words').value") == ""
    page.run(SPY)
    assert ask(page, "say: anew") == "anew"
    assert len(sent(page)[0]["messages"]) == 1


def test_what_is_refused_goes_back_to_where_it_was_written(page: Page) -> None:
    add(page, CARD)
    page.type("refuse")
    page.run(SPY)
    page.run("document.getElementById('cost').value = 'before'")
    page.press("Enter")
    page.until("document.getElementById('stop').hidden")
    page.until("sent.filter((one) => one.path == '/v1/count').length == 1")
    page.until("document.getElementById('cost').value != 'before'")
    assert problem(page) == "the picture is damaged"
    assert page.run("document.getElementById('words').value") == "refuse"
    assert count(page, "#media figure") == 1
    assert count(page, "article") == 0
    forgive(page, 400)


def test_an_engine_that_dies_is_told(page: Page) -> None:
    page.click("#words")
    page.type("die")
    page.press("Enter")
    assert "ask again" in problem(page)
    page.until("document.querySelector('.note').innerText")
    assert text(page, ".words") == "I"
    page.until("document.getElementById('model').innerText == 'nano'")
    assert ask(page, "say: back") == "back"


def test_media_that_are_none(page: Page, tmp_path: Path) -> None:
    notes, broken = tmp_path / "notes.txt", tmp_path / "broken.png"
    notes.write_text("words")
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    page.drop(notes)
    assert problem(page) == "notes.txt is neither a picture nor a clip."
    page.drop(broken)
    page.until("document.querySelector('#media .cost')?.innerText == 'not counted'")
    assert problem(page).startswith("broken.png: cannot be read")
    page.until("document.querySelector('#media .blank')")
    page.click("#media .remove")
    assert page.run("document.getElementById('problem').hidden")
    assert count(page, "#media figure") == 0
    assert page.run("document.activeElement.id") == "words"
    forgive(page, 400)


def test_pictures_are_pasted_and_chosen(page: Page) -> None:
    page.run("""fetch('/page/icon.svg').then(() => {
      const canvas = new OffscreenCanvas(60, 30);
      canvas.getContext('2d').fillRect(0, 0, 9, 9);
      return canvas.convertToBlob();
    }).then((blob) => {
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File([blob], 'pasted.png', {type: 'image/png'}));
      document.dispatchEvent(new ClipboardEvent('paste', {clipboardData, cancelable: true}));
    })""")
    page.until("document.querySelector('#media figure')")
    assert text(page, "#media b") == "pasted.png"
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    field = page.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=field, files=[str(CARD), str(CLIP)])
    page.until(f"document.querySelectorAll('#media figure').length == 3 && {COUNTED}")
    assert text(page, "#media figure:last-child .cost").endswith("72 tokens")


def focus(page: Page) -> str:
    return str(page.run("(e => e.id || e.parentElement.id || e.className)(document.activeElement)"))


def test_all_is_reached_by_keyboard(page: Page) -> None:
    add(page, CARD)
    page.run("document.getElementById('show-code').focus()")
    places = [focus(page)]
    for _ in range(6):
        page.press("Tab")
        places.append(focus(page))
    assert places == ["show-code", "clear", "remove", "words", "files", "options", "ask"]
    page.run("document.getElementById('words').focus()")
    page.type("say: one")
    page.press("Enter", SHIFT)
    page.type("two")
    page.run("document.getElementById('ask').focus()")
    page.press("Enter")
    page.until("document.querySelector('.answer[aria-busy=false]')")
    assert text(page, ".words") == "one\ntwo"
    assert focus(page) == "ask"
    page.run("document.getElementById('show-code').focus()")
    page.press("Enter")
    assert page.run("document.getElementById('code').open")
    page.press("Escape")
    page.until("!document.getElementById('code').open")
    assert focus(page) == "show-code"


def test_a_clip_is_shown(page: Page) -> None:
    add(page, CLIP)
    page.until("document.querySelector('figure video')?.videoWidth === 84")


def test_every_control_has_a_name(page: Page) -> None:
    add(page, CARD, CLIP)
    page.click("#options summary")
    page.run("document.getElementById('most').focus()")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "textbox", "combobox", "spinbutton", "image", "Video")
    controls = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
    assert len(controls) > 10
    names = [node.get("name", {}).get("value", "") for node in controls]
    assert [name for name in names if not re.search(r"\w{3}", name)] == []
    log = page.run("document.getElementById('thread').role")
    assert log == "log"  # which is read aloud as it grows
    assert page.run("document.getElementById('problem').role") == "alert"


def test_the_conversation_as_code_asks_the_same(page: Page, tmp_path: Path) -> None:
    words = """say: it's "$HOME" `pwd` \\n é"""
    picture = tmp_path / "it's $1.png"
    picture.write_bytes(CARD.read_bytes())
    add(page, picture)
    assert ask(page, words) == words.removeprefix("say: ")
    page.click("#show-code")
    page.click("[data-copy=python]")
    page.until("document.getElementById('copied').innerText")
    assert page.run("getSelection().toString().includes('OpenAI')")
    curl, python = (text(page, name) for name in ("#curl", "#python"))
    said = subprocess.run(
        ["bash", "-c", curl], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    reply = json.loads(said)
    assert reply["choices"][0]["message"]["content"] == words.removeprefix("say: ")
    assert reply["usage"]["prompt_tokens_details"]["image_tokens"] == 90
    said = subprocess.run(
        [sys.executable, "-c", python], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said.rstrip("\n") == words.removeprefix("say: ")


def test_a_key_is_asked_for_where_it_is_needed(
    browser: Page, servers: Callable[..., Server]
) -> None:
    for page in opened(browser, servers(api_keys=("right-key",))):
        page.until("document.getElementById('key-form').checkVisibility()")
        page.until("document.activeElement.id == 'key'")
        page.type("wrong-key")
        page.press("Enter")
        assert problem(page) == "The server does not know this API key."
        page.type("right-key")
        page.press("Enter")
        page.until("document.getElementById('model').innerText == 'nano'")
        assert page.run("document.getElementById('key-form').hidden")
        assert ask(page, "say: welcome") == "welcome"
        page.click("#show-code")
        code = text(page, "#curl") + text(page, "#python")
        assert code.count("VALLEY_API_KEY") == 2
        assert "right-key" not in code
        forgive(page, 401)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1000])
def test_nothing_is_cut_off_and_all_can_be_read(page: Page, width: int, dark: bool) -> None:
    page.show(width, dark=dark, still=True)
    add(page, CARD, CLIP, PHOTOGRAPH)
    ask(
        page, "say: <think>hm</think>" + "long" * 60 + "\n```\n" + "code " * 60 + "\n```\n[0,0,1,1]"
    )
    add(page, CARD, CLIP)
    page.click("#options summary")
    assert page.run("innerWidth >= document.documentElement.scrollWidth")
    assert faint(page) == []
    assert page.run("getComputedStyle(document.querySelector('article')).animationName") == "none"
    page.click("#show-code")
    assert page.run("innerWidth >= document.documentElement.scrollWidth")
    assert faint(page) == []
