"""Bad sources, each with words its error must contain. The command line is tested with them too."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from media import makers
from valley.media import Limits

URLS = Limits(allow_urls=True, url_timeout=2.0, url_deadline=3.0)


class Case(NamedTuple):
    """`python_only`: not for a command line. `limits.allow_urls` asks for that flag."""

    name: str
    source: Any
    words: str
    limits: Limits = Limits()
    python_only: bool = False


def cases(tmp_path: Path) -> list[Case]:
    return [
        *_broken_pictures(tmp_path),
        *_foreign_files(tmp_path),
        *_broken_videos(tmp_path),
        *_places(tmp_path),
        *_addresses(),
        *_python_values(tmp_path),
    ]


def _write(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def _broken_pictures(tmp: Path) -> list[Case]:
    jpeg, png = makers.picture("JPEG"), makers.picture("PNG")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    noise.save(tmp / "noise.webp", lossless=True)
    webp = (tmp / "noise.webp").read_bytes()
    noise.save(tmp / "noise.gif", save_all=True, append_images=[noise.rotate(90)], duration=100)
    gif = (tmp / "noise.gif").read_bytes()
    data = png.index(b"IDAT")
    files = {
        "jpeg_truncated": (jpeg[: len(jpeg) * 2 // 3], "cannot be read"),
        "jpeg_header_only": (jpeg[:3], "cannot be read"),
        "png_truncated": (png[: data + 20], "cannot be read"),
        "png_header_only": (png[:8], "cannot be read"),
        "png_bad_crc": (png[:20] + b"\xff" + png[21:], "cannot be read"),
        "png_bad_idat": (png[: data + 6] + bytes(40) + png[data + 46 :], "cannot be read"),
        "png_bomb": (makers.png_of_size(30_000, 30_000), "above the limit"),
        "png_large": (makers.png_of_size(9000, 9000), "above the limit"),
        "png_no_width": (makers.png_of_size(0, 5), "cannot be read"),
        "webp_truncated": (webp[: len(webp) // 2], "cannot be read"),
        "gif_header_only": (gif[:13], "cannot be read"),
        "gif_broken_frame": (gif[: len(gif) * 2 // 3], "cannot be read"),
        "gif_large_canvas": (gif[:6] + b"\xff\xff\xff\xff" + gif[10:], "above the limit"),
        "bmp_huge": (makers.bmp_of_size(2**30, 2**30), "above the limit"),
        "bmp_negative": (makers.bmp_of_size(-20, -20), "above the limit"),
        "bmp_large": (makers.bmp_of_size(9000, -9000), "above the limit"),
        "bmp_no_pixels": (makers.bmp_of_size(20, 20), "cannot be read"),
        "tiff_huge": (makers.tiff_of_size(2**31, 2**31), "above the limit"),
        "tiff_large": (makers.tiff_of_size(9000, 9000), "above the limit"),
        "tiff_truncated": (makers.picture("TIFF")[:100], "cannot be read"),
    }
    return [
        Case(name, _write(tmp, f"{name}.{name.partition('_')[0]}", data), words)
        for name, (data, words) in files.items()
    ]


def _foreign_files(tmp: Path) -> list[Case]:
    target = makers.clip(tmp / "target.mp4", 3)
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\nfile://{target}\n#EXT-X-ENDLIST\n"
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    files = {
        "empty.png": (b"", "is empty"),
        "text.png": (b"this is not a picture\n" * 50, "unknown format"),
        "random.mp4": (np.random.default_rng(1).bytes(3000), "unknown format"),
        "playlist.m3u8": (hls.encode(), "a playlist"),
        "playlist.mp4": (hls.encode(), "a playlist"),
        "concat.txt": (f"ffconcat version 1.0\nfile {target}\n".encode(), "a playlist"),
        "drawing.svg": (drawing, "SVG"),
        "drawing.png": (b'<?xml version="1.0"?>' + drawing, "SVG"),
        "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3\n", "PDF"),
        "archive.zip": (b"PK\x03\x04" + bytes(60), "ZIP"),
        "page.jpg": (b"<!DOCTYPE html><title>404</title>", "HTML"),
        "script.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        "photo.psd": (b"8BPS\0\x01" + bytes(40), "unknown format"),
        "icon.icns": (b"icns" + bytes(40), "unknown format"),
    }
    return [
        Case(name.replace(".", "_"), _write(tmp, name, data), words)
        for name, (data, words) in files.items()
    ]


def _broken_videos(tmp: Path) -> list[Case]:
    whole = makers.clip(tmp / "whole.mp4", movflags="faststart").read_bytes()
    moov, mdat = whole.index(b"moov"), whole.index(b"mdat")
    matroska = makers.clip(tmp / "whole.mkv").read_bytes()
    files = {
        "no_moov.mp4": (whole[: moov - 4] + whole[mdat - 4 :], "cannot be read"),
        "cut_short.mp4": (whole[: mdat + (len(whole) - mdat) // 2], "cut short"),
        "random_boxes.mp4": (whole[:40] + np.random.default_rng(2).bytes(2000), "holds no video"),
        "unknown_codec.mkv": (matroska.replace(b"V_MPEG4/ISO/ASP", b"V_UNHEARD/OF/IT"), "codec"),
        "no_frames.mkv": (matroska[: matroska.index(b"\x1f\x43\xb6\x75")], "cannot be read"),
        "no_header.mkv": (matroska[:40], "cannot be read"),
        "no_data.avi": (b"RIFF\x20\0\0\0AVI LIST" + bytes(20), "cannot be read"),
    }
    return [
        *(
            Case(name.replace(".", "_"), _write(tmp, name, data), words)
            for name, (data, words) in files.items()
        ),
        Case("zero_frames", str(makers.clip(tmp / "zero.avi", -1)), "no frames"),
        Case("sound_only", str(makers.clip(tmp / "sound.mp4", 0, sound=True)), "holds no video"),
        Case(
            "long_video",
            str(makers.clip(tmp / "long.mp4")),
            "lasts 2.0 s",
            Limits(max_duration=1.0),
            True,
        ),
        Case("many_frames", str(tmp / "long.mp4"), "to decode", Limits(max_frames_decoded=0), True),
        Case(
            "large_frames", str(tmp / "long.mp4"), "above the limit", Limits(max_pixels=900), True
        ),
    ]


def _places(tmp: Path) -> list[Case]:
    for name in ("no_pictures", "sub.png", "root"):
        (tmp / name).mkdir()
    _write(tmp / "no_pictures", "notes.txt", b"hello")
    good = _write(tmp, "good.png", makers.picture())
    os.mkfifo(tmp / "pipe.png")
    (tmp / "loop.png").symlink_to(tmp / "loop.png")
    (tmp / "root" / "link.png").symlink_to(good)
    rooted = Limits(media_root=tmp / "root")
    sizes = tmp / "sizes"
    sizes.mkdir()
    _write(sizes, "1.png", makers.picture())
    _write(sizes, "2.png", makers.picture(size=(9, 9)))
    return [
        Case("missing_file", str(tmp / "nothing.png"), "no such file"),
        Case("missing_folder", str(tmp / "nowhere" / "clip.mp4"), "no such file"),
        Case("empty_name", "", "names no file"),
        Case("folder_without_pictures", str(tmp / "no_pictures"), "no pictures"),
        Case("folder_named_png", str(tmp / "sub.png"), "no pictures"),
        Case("folder_of_two_sizes", str(sizes), "one size"),
        Case("pipe", str(tmp / "pipe.png"), "device or pipe"),
        Case("device", "/dev/zero", "device or pipe"),
        Case("link_loop", str(tmp / "loop.png"), "cannot be read"),
        Case("long_name", str(tmp / ("x" * 300)), "cannot be read"),
        Case("line_break", str(tmp / "a\nb.png"), "no such file"),
        Case("home_is_not_expanded", "~/.bashrc", "no such file"),
        Case("too_many_bytes", good, "above the limit of 50", Limits(max_bytes=50), True),
        Case("outside_root", good, "outside the media folder", rooted, True),
        Case("above_root", "../good.png", "outside the media folder", rooted, True),
        Case("link_out_of_root", "link.png", "outside the media folder", rooted, True),
    ]


def _addresses() -> list[Case]:
    hosts = {
        "loopback": "127.0.0.1",
        "loopback_other": "127.8.9.1",
        "localhost": "localhost",
        "private_10": "10.0.0.1",
        "private_172": "172.16.3.4",
        "private_192": "192.168.1.1",
        "shared_100": "100.64.0.1",
        "link_local_metadata": "169.254.169.254",
        "unspecified": "0.0.0.0",
        "short": "127.1",
        "decimal": "2130706433",
        "hexadecimal": "0x7f000001",
        "octal": "0177.0.0.1",
        "multicast": "224.0.0.1",
        "broadcast": "255.255.255.255",
        "reserved": "240.0.0.1",
        "v6_loopback": "[::1]",
        "v6_unspecified": "[::]",
        "v6_mapped": "[::ffff:127.0.0.1]",
        "v6_mapped_hex": "[::ffff:a9fe:a9fe]",
        "v6_compatible": "[::127.0.0.1]",
        "v6_6to4": "[2002:7f00:1::]",
        "v6_nat64": "[64:ff9b::7f00:1]",
        "v6_unique_local": "[fd00::1]",
        "v6_site_local": "[fec0::1]",
        "v6_multicast": "[ff02::1]",
    }
    png = base64.b64encode(makers.picture()).decode()
    return [
        *(
            Case(f"url_{name}", f"http://{host}/a.png", "not public", URLS)
            for name, host in hosts.items()
        ),
        Case("url_https_loopback", "https://127.0.0.1/a.png", "not public", URLS),
        Case("url_not_allowed", "https://example.com/a.png", "--allow-urls"),
        Case("url_upper_case", "HTTP://127.0.0.1/a.png", "not public", URLS),
        Case("url_password", "http://me:secret@127.0.0.1/a.png", "user name", URLS),
        Case("url_bad_port", "http://127.0.0.1:99999/a.png", "cannot be read", URLS),
        Case("url_no_host", "http:///a.png", "no host", URLS),
        Case("url_bad_host", "http://" + "a" * 70 + "/x.png", "cannot be", URLS),
        Case("url_file", "file:///etc/passwd", "file addresses", URLS),
        Case("url_ftp", "ftp://127.0.0.1/a.png", "ftp addresses", URLS),
        Case("url_rtsp", "rtsp://127.0.0.1/live", "rtsp addresses", URLS),
        Case("concat_protocol", "concat:/etc/passwd|/etc/hosts", "no such file"),
        Case("data_not_base64", "data:image/png,hello", "base64"),
        Case("data_no_comma", "data:image/png;base64", "base64"),
        Case("data_bad_letters", "data:image/png;base64,@@@@", "base64"),
        Case("data_bad_padding", "data:image/png;base64,iVBORw0", "base64"),
        Case("data_empty", "data:image/png;base64,", "is empty"),
        Case("data_truncated", f"data:image/png;base64,{png[:80]}", "cannot be read"),
        Case("data_html", "data:text/html;base64,PGh0bWw+PC9odG1sPg==", "HTML"),
        Case(
            "data_large", f"data:image/png;base64,{png}", "limit of 50", Limits(max_bytes=50), True
        ),
    ]


def _python_values(tmp: Path) -> list[Case]:
    closed = Image.open(tmp / "good.png")
    closed.close()
    grey = np.zeros((4, 4), np.uint8)
    values = {
        "array_nan": (np.full((4, 4), np.nan), "NaN"),
        "array_inf": (np.full((4, 4, 3), np.inf), "NaN or infinity"),
        "array_above_one": (np.full((4, 4, 3), 7.0), "0..1"),
        "array_below_zero": (np.full((4, 4, 3), -0.5), "0..1"),
        "array_int64": (np.zeros((4, 4), np.int64), "int64"),
        "array_complex": (np.zeros((4, 4), complex), "complex"),
        "array_object": (np.full((4, 4), None), "object"),
        "array_line": (np.zeros(4, np.uint8), "shape (4,)"),
        "array_channels_first": (np.zeros((3, 9, 9), np.uint8), "shape (3, 9, 9)"),
        "array_empty": (np.zeros((0, 4, 3), np.uint8), "empty"),
        "array_no_frames": (np.zeros((0, 4, 4, 3), np.uint8), "no frames"),
        "array_5d": (np.zeros((1, 1, 4, 4, 3), np.uint8), "shape"),
        "sequence_empty": ([], "no frames"),
        "sequence_of_numbers": ([1, 2], "not a media source"),
        "sequence_of_two_sizes": ([grey, grey[:2]], "one size"),
        "bytes_empty": (b"", "is empty"),
        "number": (7, "not a media source"),
        "none": (None, "not a media source"),
        "closed_picture": (closed, "cannot be read"),
        "null_in_name": ("a\0b.png", "cannot be read"),
        "surrogate_in_name": ("a\udcffb.png", "no such file"),
        "bytes_name": (os.fspath(tmp / "nothing.png").encode(), "unknown format"),
    }
    return [Case(name, source, words, python_only=True) for name, (source, words) in values.items()]
