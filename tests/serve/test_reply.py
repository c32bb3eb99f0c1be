"""Where the text of a reply ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from valley.engine.streaming import Pieces
from valley.serve.reply import StopStrings

short = st.text("ab", min_size=1, max_size=4)


@given(st.lists(st.text("ab", max_size=3), max_size=12), st.lists(short, max_size=3))
def test_text_ends_before_the_first_stop_string(pieces: list[str], stops: list[str]) -> None:
    stopper, said, stopped = StopStrings(tuple(stops)), "", False
    for piece in pieces:
        text, stopped = stopper.add(piece)
        said += text
        if stopped:
            break
    else:
        said += stopper.end()
    whole = "".join(pieces)
    ends = [whole.index(stop) for stop in stops if stop in whole]
    assert stopped == bool(ends)
    assert said == whole[: min(ends, default=len(whole))]


def test_what_may_be_a_stop_string_waits() -> None:
    stopper = StopStrings(("END",))
    assert stopper.add("the E") == ("the ", False)
    assert stopper.add("N") == ("", False)
    assert stopper.add("T") == ("ENT", False)
    assert stopper.add("xEND.") == ("x", True)


@given(st.text(max_size=20), st.integers(1, 4))
def test_characters_split_over_tokens_come_whole(text: str, size: int) -> None:
    data = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    pieces = Pieces(lambda ids: bytes(ids).decode("utf-8", "replace"), hidden=())
    said = [pieces.add(data[i : i + size]) for i in range(0, len(data), size)]
    assert "".join(said) + pieces.end() == data.decode()
    if "\ufffd" not in data.decode():
        assert not any("\ufffd" in piece for piece in said)


def test_hidden_tokens_are_no_text() -> None:
    pieces = Pieces(lambda ids: bytes(ids).decode(), hidden={0})
    assert [pieces.add([number]) for number in (104, 0, 105)] == ["h", "", "i"]
