"""Bad input ends in one clear line, quickly, whatever it is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import makers, malformed
from valley.media import Limits, MediaError, media_kind, open_image, open_video, probe_video


def first_frame(timestamps: object, size: object) -> list[int]:
    return [0]


def open_any(source: object, limits: Limits) -> None:
    """What the command line does with a media argument."""
    if media_kind(source, limits) == "image":
        open_image(source, limits)
    else:
        open_video(source, first_frame, limits)


def test_every_bad_source_is_one_clear_line(tmp_path: Path) -> None:
    table = malformed.cases(tmp_path)
    assert len({case.name for case in table}) == len(table) >= 100
    wrong = []
    for case in table:
        started = time.monotonic()
        try:
            open_any(case.source, case.limits)
            wrong.append(f"{case.name}: opened")
        except MediaError as error:
            message = str(error)
            if case.words not in message or len(message.splitlines()) != 1 or len(message) > 600:
                wrong.append(f"{case.name}: {message!r} lacks {case.words!r}")
            message.encode("utf-8")
        if time.monotonic() - started > 3:
            wrong.append(f"{case.name}: slow")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for case in malformed.cases(tmp_path):
        with pytest.raises(MediaError):
            open_any(case.source, case.limits)
    assert capfd.readouterr() == ("", "")


def test_pillow_neither_logs_nor_warns(tmp_path: Path) -> None:
    """In a process of its own: the test runner takes over logs and warnings."""
    samples, tag = makers.tiff_of_size(4, 4), b"\x15\x01\x03\0\x01\0\0\0"
    assert samples.count(tag + b"\x01") == 1
    (tmp_path / "logs.tif").write_bytes(samples.replace(tag + b"\x01", tag + b"\x63"))
    (tmp_path / "warns.tif").write_bytes(samples[:60])
    code = """
import sys
from valley.media import MediaError, open_image
for name in sys.argv[1:]:
    try:
        open_image(name)
    except MediaError:
        print("refused")
"""
    names = [str(tmp_path / "logs.tif"), str(tmp_path / "warns.tif")]
    command = [sys.executable, "-c", code, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("refused\nrefused\n", "")


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(MediaError) as caught:
        open_image("http://me:secret@127.0.0.1/a.png", malformed.URLS)
    assert "secret" not in str(caught.value)


def test_pictures_and_clips_are_not_taken_for_each_other(tmp_path: Path) -> None:
    clip = makers.clip(tmp_path / "a.mp4", 3)
    with pytest.raises(MediaError, match="pass it as a video"):
        open_image(clip)
    for source in (makers.picture("JPEG"), makers.picture("PNG"), makers.picture("GIF")):
        with pytest.raises(MediaError, match="pass it as an image"):
            probe_video(source)


SAMPLES = {name: makers.picture(name) for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")} | {
    name + " animation": makers.animation(name) for name in ("GIF", "PNG", "WEBP")
}
SMALL = Limits(max_pixels=100_000, max_frames_decoded=100, max_duration=60.0)
edits = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=12)


def opens_or_refuses(whole: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    # Most changes keep the length: a cut file seldom gets past the header.
    damaged = bytes(data[: cut % len(data)]) if cut else bytes(data)
    try:
        open_any(damaged, SMALL)
    except MediaError as error:
        assert len(str(error).splitlines()) == 1


@settings(max_examples=120, deadline=5000)
@given(st.sampled_from(sorted(SAMPLES)), edits, st.just(0) | st.integers(1, 10**9))
def test_damaged_pictures(name: str, changes: list[tuple[int, int]], cut: int) -> None:
    opens_or_refuses(SAMPLES[name], changes, cut)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("clips")
    codecs = {"mp4": "mpeg4", "webm": "libvpx-vp9", "avi": "mpeg4", "ts": "mpeg2video"}
    return {
        end: makers.clip(folder / f"a.{end}", 6, (32, 32), codec, rate=25).read_bytes()
        for end, codec in codecs.items()
    }


@settings(max_examples=60, deadline=5000)
@given(st.sampled_from(["mp4", "webm", "avi", "ts"]), edits, st.just(0) | st.integers(1, 10**9))
def test_damaged_videos(
    clips: dict[str, bytes], end: str, changes: list[tuple[int, int]], cut: int
) -> None:
    opens_or_refuses(clips[end], changes, cut)
