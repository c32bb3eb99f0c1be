"""From what a user hands over to an open binary file: path, bytes, data URI, URL, folder."""

from __future__ import annotations

import binascii
import os
import re
import stat
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from valley.media.fetch import download
from valley.media.limits import DEFAULT, Limits, reading, refusal
from valley.media.sniff import HEAD, Format, sniff
from valley.types import MediaSource

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
CLIP_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".ts")
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(data):", re.IGNORECASE)


def open_binary(source: MediaSource, limits: Limits) -> BinaryIO:
    """A seekable file over the bytes of `source`, whose size is within `limits.max_bytes`."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _in_memory(source, bytes(source), limits)
    scheme = scheme_of(source)
    if scheme == "data":
        return _in_memory(source, _decode_data_uri(source, limits), limits)
    if scheme in ("http", "https"):
        return _in_memory(source, download(source, limits), limits)
    if scheme:
        raise refusal(source, f"{scheme} addresses are not opened: use a path or an https URL")
    if isinstance(source, (str, os.PathLike)):
        return _open_file(source, limits)
    if callable(read := getattr(source, "read_bytes", None)):  # such as a cell of a table
        return _in_memory(source, read(), limits)
    raise refusal(
        source, "not a media source: give a path, URL, data URI, bytes, PIL image, array or frames"
    )


def localize(source: MediaSource, limits: Limits = DEFAULT) -> MediaSource:
    """`source`, or the bytes behind it if it is a URL: download once, then look as often as needed.

    Raises MediaError.
    """
    with reading(source):
        return download(source, limits) if scheme_of(source) in ("http", "https") else source


def sniff_file(source: MediaSource, file: BinaryIO) -> Format:
    """The format of an open file, left at its start. Raises MediaError for a foreign format."""
    file.seek(0)
    found = sniff(file.read(HEAD))
    file.seek(0)
    if found.kind == "other":
        raise refusal(
            source,
            f"is {found.name}: use a JPEG, PNG, WebP, GIF, BMP or TIFF picture, or an MP4, MOV, "
            "WebM, MKV, AVI, WMV, FLV or MPEG clip",
        )
    return found


def scheme_of(source: MediaSource) -> str:
    """The lower-case scheme of a URL or data URI, "" for everything else."""
    # A `Path` is always a path, and one letter before a colon is a drive.
    match = _SCHEME.match(source) if isinstance(source, str) else None
    return (match[1] or match[2]).lower() if match else ""


def local_path(source: str | os.PathLike[str], limits: Limits) -> Path:
    """The path a name stands for. Nothing is expanded: no `~`, no variables, no patterns."""
    path = Path(os.fsdecode(source))
    if not os.fspath(source):
        raise refusal("''", "names no file: give a path")
    if limits.media_root is None:
        return path
    root = Path(limits.media_root).resolve()
    path = (root / path).resolve()
    if not path.is_relative_to(root):
        # Said before looking whether it exists, so that the answer tells nothing about the disk.
        raise refusal(source, "lies outside the media folder: use a file below it")
    return path


def folder_frames(source: MediaSource, limits: Limits) -> list[Path] | None:
    """Pictures of a folder in natural order (frame2 before frame10); None if it is no folder."""
    if scheme_of(source) or not isinstance(source, (str, os.PathLike)):
        return None
    folder = local_path(source, limits)
    if not folder.is_dir():
        return None
    names = [
        name
        for name in os.listdir(folder)
        if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")
    ]
    if not names:
        raise refusal(source, "the folder holds no pictures: put the frames in it as JPEG or PNG")
    return [folder / name for name in sorted(names, key=_natural)]


def _natural(name: str) -> list[tuple[int, str]]:
    pieces = re.split(r"([0-9]+)", name)
    return [(int(piece), "") if i % 2 else (0, piece) for i, piece in enumerate(pieces)]


def _open_file(source: str | os.PathLike[str], limits: Limits) -> BinaryIO:
    path = local_path(source, limits)
    # Looked at before opening (opening a device can do things) and after (it may have changed).
    _check_file(source, os.stat(path), limits)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if limits.media_root is not None:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_file(source, os.fstat(file.fileno()), limits)
    except BaseException:
        file.close()
        raise
    return file


def _check_file(source: MediaSource, info: os.stat_result, limits: Limits) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise refusal(source, "is a folder: name a file, or pass it as a video of frames")
    if not stat.S_ISREG(info.st_mode):
        raise refusal(source, "is a device or pipe: save the data to a regular file first")
    _check_bytes(source, info.st_size, limits)


def _check_bytes(source: MediaSource, count: int, limits: Limits) -> None:
    if count == 0:
        raise refusal(source, "is empty: check that it was written completely")
    if count > limits.max_bytes:
        raise refusal(
            source, f"{count} bytes are above the limit of {limits.max_bytes}: use a smaller file"
        )


def _in_memory(source: MediaSource, data: bytes, limits: Limits) -> BinaryIO:
    _check_bytes(source, len(data), limits)
    return BytesIO(data)


def _decode_data_uri(uri: str, limits: Limits) -> bytes:
    header, comma, body = uri.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise refusal(uri, "is not a base64 data URI: write data:image/png;base64,…")
    _check_bytes(uri, len(body) * 3 // 4, limits)
    try:
        return binascii.a2b_base64(b"".join(unquote_to_bytes(body).split()), strict_mode=True)
    except ValueError as error:
        raise refusal(uri, f"its base64 text is damaged ({error}): encode it again") from error
