"""Clips: the right frames at the right times, and only those kept."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from media import makers
from valley.media import Limits, MediaError, media_kind, open_video, probe_video, video


def take(*numbers: int) -> Callable[..., Sequence[int]]:
    return lambda timestamps, size: numbers


def grey(image: Image.Image) -> int:
    """The grey of the lower right part: 10 for each frame number."""
    return round(np.asarray(image)[-8:, -8:].mean() / 10)


CONTAINERS = [
    ("mp4", "mpeg4", 10),
    ("mov", "mpeg4", 10),
    ("mkv", "mpeg4", 10),
    ("webm", "libvpx-vp9", 10),
    ("avi", "mpeg4", 10),
    ("flv", "flv1", 10),
    ("ts", "mpeg2video", 25),
    ("mpg", "mpeg1video", 25),
    ("wmv", "wmv2", 10),
]


@pytest.mark.parametrize(("end", "codec", "rate"), CONTAINERS)
def test_chosen_frames_of_every_container(tmp_path: Path, end: str, codec: str, rate: int) -> None:
    path = makers.clip(tmp_path / f"a.{end}", 20, codec=codec, rate=rate)
    assert media_kind(path) == "video"
    timestamps, size = probe_video(path)
    assert size == (64, 48) and len(timestamps) == 20
    assert timestamps == pytest.approx([i / rate for i in range(20)], abs=2e-3)
    clip = open_video(path, take(17, 3, 4, 17, 12))
    assert [grey(frame) for frame in clip.frames] == [17, 3, 4, 17, 12]
    assert clip.timestamps == tuple(timestamps[i] for i in (17, 3, 4, 17, 12))
    assert (clip.total_frames, clip.source) == (20, str(path))
    assert clip.duration == pytest.approx(20 / rate, abs=5e-3)
    assert all(frame.mode == "RGB" and frame.size == (64, 48) for frame in clip.frames)


def test_the_same_from_bytes_and_open_files_close(tmp_path: Path) -> None:
    path = makers.clip(tmp_path / "a.mp4", 6)
    assert grey(open_video(path.read_bytes(), take(4)).frames[0]) == 4


def test_frames_that_are_stored_out_of_order(tmp_path: Path) -> None:
    for codec in ("libx264", "mpeg2video"):
        path = makers.clip(tmp_path / f"{codec}.mkv", 20, codec=codec, rate=25)
        with av.open(str(path)) as container:
            stored = [p.pts for p in container.demux(video=0) if p.size]
        if codec == "libx264":
            assert stored != sorted(stored)
        clip = open_video(path, lambda timestamps, size: range(len(timestamps)))
        assert [grey(frame) for frame in clip.frames] == list(range(20))
        assert [grey(frame) for frame in open_video(path, take(1, 8, 13)).frames] == [1, 8, 13]


def test_pick_sees_times_and_upright_size(tmp_path: Path) -> None:
    path = makers.clip(tmp_path / "a.mp4", 4, rotation=90)
    seen = []

    def pick(timestamps: Sequence[float], size: tuple[int, int]) -> list[int]:
        seen.append((list(timestamps), size))
        return [0]

    open_video(path, pick)
    assert seen == [(pytest.approx([0, 0.1, 0.2, 0.3]), (48, 64))]


@pytest.mark.parametrize(
    ("degrees", "corner", "size"),
    [
        (0, (4, 4), (64, 48)),
        (90, (4, 59), (48, 64)),
        (180, (59, 43), (64, 48)),
        (-90, (43, 4), (48, 64)),
    ],
)
def test_rotation(
    tmp_path: Path, degrees: int, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    path = makers.clip(tmp_path / "a.mp4", 2, rotation=degrees)
    frame = open_video(path, take(1)).frames[0]
    assert probe_video(path)[1] == frame.size == size
    opposite = (size[0] - 1 - corner[0], size[1] - 1 - corner[1])
    assert min(frame.getpixel(corner)) > 200
    assert max(frame.getpixel(opposite)) < 100


def test_rotation_of_a_phone(tmp_path: Path) -> None:
    """The matrix phones write for an upright film: turn clockwise. Written byte by byte."""
    data = bytearray(makers.clip(tmp_path / "a.mp4", 2).read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one, unit = 1 << 16, 1 << 30
    assert struct.unpack_from(">9i", data, matrix) == (one, 0, 0, 0, one, 0, 0, 0, unit)
    struct.pack_into(">9i", data, matrix, 0, one, 0, -one, 0, 0, 48 * one, 0, unit)
    frame = open_video(bytes(data), take(0)).frames[0]
    assert frame.size == (48, 64)
    assert min(frame.getpixel((43, 4))) > 200  # top left went to the top right


def test_few_frames_are_decoded_and_none_kept_but_the_chosen(tmp_path: Path) -> None:
    path = makers.clip(tmp_path / "a.mp4", 100)
    assert len(probe_video(path)[0]) == 100
    limits = Limits(max_frames_decoded=24)
    clip = open_video(path, take(0, 50, 99), limits)
    assert clip.timestamps == pytest.approx((0, 5.0, 9.9))
    with pytest.raises(MediaError, match="more than 24 frames"):
        open_video(path, take(*range(100)), limits)


def test_files_that_cannot_be_entered_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = makers.clip(tmp_path / "a.mp4", 20)
    real = video.Film._by_key
    # Seeks land behind the wanted frame, as with a wrong index.
    monkeypatch.setattr(
        video.Film, "_by_key", lambda self, s: [(self._stamps[-1], g) for _, g in real(self, s)]
    )
    assert [grey(f) for f in open_video(path, take(2, 9)).frames] == [2, 9]


def test_cover_pictures_are_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_image(Image.new("RGB", (16, 16)))))
        container.mux(cover.encode(None))
    with pytest.raises(MediaError, match="holds no video"):
        probe_video(path)


def test_wrong_choices_and_errors_of_pick(tmp_path: Path) -> None:
    path = makers.clip(tmp_path / "a.mp4", 3)
    for numbers in ((), (3,), (-1,)):
        with pytest.raises(MediaError, match="of 3"):
            open_video(path, take(*numbers))

    def broken(timestamps: object, size: object) -> list[int]:
        raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        open_video(path, broken)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animations(format: str) -> None:
    data = makers.animation(format, 4, duration=[100, 250, 50, 400])
    assert media_kind(data) == "video"
    clip = open_video(data, take(3, 1))
    assert [frame.getpixel((5, 5)) for frame in clip.frames] == [(120, 0, 0), (40, 0, 0)]
    assert clip.timestamps == pytest.approx((0.4, 0.1))
    assert (clip.duration, clip.total_frames) == (pytest.approx(0.8), 4)
    assert probe_video(data) == (pytest.approx((0, 0.1, 0.35, 0.4)), (12, 8))
    with pytest.raises(MediaError, match="more than 3 frames"):
        probe_video(data, Limits(max_frames_decoded=3))
    with pytest.raises(MediaError, match=r"lasts 0\.8 s"):
        probe_video(data, Limits(max_duration=0.7))


def test_animations_without_times_get_a_tenth_of_a_second() -> None:
    assert probe_video(makers.animation("GIF", 3, duration=0))[0] == pytest.approx((0, 0.1, 0.2))


def test_transparent_animation_lies_on_white() -> None:
    frames = [
        Image.new("RGBA", (4, 4), (255, 0, 0, 0)),
        Image.new("RGBA", (4, 4), (0, 0, 255, 255)),
    ]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:], duration=100)
    clip = open_video(out.getvalue(), take(0, 1))
    assert [f.getpixel((0, 0)) for f in clip.frames] == [(255, 255, 255), (0, 0, 255)]


def test_a_folder_is_a_clip_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._frame3.png").write_text("what a Mac leaves behind")
    assert media_kind(str(tmp_path)) == "video"
    clip = open_video(tmp_path, take(0, 1, 2))
    assert [frame.getpixel((0, 0))[0] for frame in clip.frames] == [1, 2, 10]
    assert clip.timestamps == (0.0, 1.0, 2.0)
    assert probe_video(tmp_path) == ((0.0, 1.0, 2.0), (8, 6))


def test_a_folder_does_not_lead_out_of_the_media_root(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(makers.picture())
    (tmp_path / "root" / "clip").mkdir(parents=True)
    (tmp_path / "root" / "clip" / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(MediaError, match="outside the media folder"):
        open_video("clip", take(0), Limits(media_root=tmp_path / "root"))


def test_sequences_and_arrays_are_clips() -> None:
    arrays = np.stack([np.full((6, 8, 3), 20 * i, np.uint8) for i in range(4)])
    for source in (arrays, list(arrays), tuple(Image.fromarray(a) for a in arrays)):
        assert media_kind(source) == "video"
        clip = open_video(source, take(3, 1))
        assert [frame.getpixel((0, 0))[0] for frame in clip.frames] == [60, 20]
        assert (clip.timestamps, clip.total_frames) == ((3.0, 1.0), 4)


@pytest.mark.parametrize("reference", ["file://{}", "{}", "concat:{}"])
def test_playlists_are_not_followed_even_by_the_demuxer(tmp_path: Path, reference: str) -> None:
    """The second lock: were a playlist taken for a film, nothing behind it would be opened."""
    target = makers.clip(tmp_path / "target.mp4", 3)
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n{reference.format(target)}\n"
    path = tmp_path / "list.m3u8"
    path.write_text(text + "#EXT-X-ENDLIST\n")
    with path.open("rb") as file, pytest.raises((MediaError, av.FFmpegError, PermissionError)):
        video.Film(path, file, "hls", Limits())


def test_film_that_names_another_file(tmp_path: Path) -> None:
    """An MP4 whose data reference points outside itself."""
    data = makers.clip(tmp_path / "a.mp4", 3).read_bytes()
    inside = b"url \0\0\0\1"
    assert data.count(inside) == 1
    path = tmp_path / "outside.mp4"
    path.write_bytes(data.replace(inside, b"url \0\0\0\0"))
    clip = open_video(path, take(2))  # what is read is still this file
    assert grey(clip.frames[0]) == 2
