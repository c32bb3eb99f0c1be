"""Every source and mode of a picture gives the right RGB pixels the right way up."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media import makers
from valley.media import Limits, MediaError, image_size, localize, media_kind, open_image

CORNERS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]] * 2, np.uint8)
CORNERS[1] //= 2  # 3 wide, 2 high, all six pixels different
TURNED = {
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.transpose(1, 0, 2),
    6: np.rot90(CORNERS, -1),
    7: np.rot90(CORNERS, 2).transpose(1, 0, 2),
    8: np.rot90(CORNERS, 1),
}


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def pixels(source: object) -> list[object]:
    image = open_image(source)
    assert image.mode == "RGB"
    return np.asarray(image).tolist()


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(Image.fromarray(CORNERS), format, exif=exif, **options)
    assert pixels(data) == TURNED[orientation].tolist()
    assert image_size(data) == TURNED[orientation].shape[1::-1]
    opened = Image.open(io.BytesIO(data))
    assert image_size(opened) == TURNED[orientation].shape[1::-1]
    assert pixels(opened) == TURNED[orientation].tolist()
    assert open_image(data).getexif() == {}


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_of_jpeg(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = np.repeat(np.repeat(CORNERS, 16, 0), 16, 1)
    data = encode(Image.fromarray(large), "JPEG", quality=98, subsampling=0, exif=exif)
    found = np.asarray(open_image(data)).astype(int)
    wanted = np.repeat(np.repeat(TURNED[orientation], 16, 0), 16, 1)
    assert found.shape == wanted.shape and abs(found - wanted).max() < 12
    assert image_size(data) == open_image(data).size


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"x" * 99])
def test_malformed_exif_is_ignored(exif: bytes) -> None:
    plain = encode(Image.fromarray(CORNERS), "JPEG")
    assert pixels(encode(Image.fromarray(CORNERS), "JPEG", exif=exif)) == pixels(plain)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_senseless_orientation_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert pixels(encode(Image.fromarray(CORNERS), exif=exif)) == CORNERS.tolist()


def test_transparency_lies_on_white() -> None:
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51)])
    wanted = [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]
    assert pixels(encode(rgba)) == wanted
    assert pixels(rgba) == wanted
    assert pixels(np.asarray(rgba)) == wanted
    assert pixels(encode(Image.new("LA", (1, 1), (0, 51)))) == [[[204, 204, 204]]]


def test_transparent_palette_colour_and_grey() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    assert pixels(encode(palette)) == [[[10, 20, 30], [40, 50, 60]]]
    assert pixels(encode(palette, transparency=1)) == [[[10, 20, 30], [255] * 3]]
    grey = Image.fromarray(np.array([[7, 9]], np.uint8))
    assert pixels(encode(grey, transparency=9)) == [[[7] * 3, [255] * 3]]
    colour = Image.fromarray(CORNERS[:1])
    assert pixels(encode(colour, transparency=(0, 255, 0)))[0][1] == [255] * 3


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 129, 257, 32768, 65535]], np.uint16)
    wanted = [[[v] * 3 for v in (0, 1, 1, 128, 255)]]
    for format in ("PNG", "TIFF"):
        assert pixels(encode(Image.fromarray(values), format)) == wanted
    assert pixels(Image.fromarray(values.astype(np.int32))) == wanted
    assert pixels(Image.fromarray(values.astype(">u2"))) == wanted
    clear = makers.png_chunk(b"tRNS", b"\x80\x00")
    data = encode(Image.fromarray(values))
    place = data.index(b"IDAT") - 4
    assert pixels(data[:place] + clear + data[place:])[0][3:] == [[255] * 3] * 2
    with pytest.raises(MediaError, match="16 bits"):
        open_image(Image.fromarray(np.array([[70_000]], np.int32)))


def test_float_picture() -> None:
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert pixels(encode(image, "TIFF")) == [[[0] * 3, [128] * 3, [255] * 3]]


def test_cmyk_one_bit_and_grey() -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert pixels(encode(cmyk, "TIFF"))[0][0] == [255, 0, 0]
    red, green, blue = pixels(encode(cmyk, "JPEG", quality=98))[8][8]
    assert red > 245 and green < 10 and blue < 10
    bits = Image.fromarray(np.array([[True, False]]))
    assert pixels(encode(bits)) == [[[255] * 3, [0] * 3]]
    assert pixels(encode(Image.new("L", (1, 1), 77), "BMP")) == [[[77] * 3]]


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_all_ways_to_name_a_picture_agree(tmp_path: Path, format: str) -> None:
    data = makers.picture(format)
    (tmp_path / "wrong name.jpg").write_bytes(data)
    coded = base64.b64encode(data).decode()
    with Image.open(io.BytesIO(data)) as opened:
        wanted = np.asarray(opened)
        sources = [
            tmp_path / "wrong name.jpg",
            str(tmp_path / "wrong name.jpg"),
            data,
            bytearray(data),
            memoryview(data),
            f"data:image/png;base64,{coded}",
            f"DATA:;BASE64,{coded.replace('+', '%2B')}",
            opened,
            wanted,
            wanted.astype(np.float32) / 255,
        ]
        for source in sources:
            assert pixels(source) == wanted.tolist()
            assert image_size(source) == (24, 16)
            assert media_kind(source) == "image"
            assert localize(source) is source


def test_lossy_formats_are_close() -> None:
    wanted = np.asarray(Image.open(io.BytesIO(makers.picture()))).astype(int)
    for format in ("JPEG", "WEBP"):
        found = np.asarray(open_image(makers.picture(format, quality=95))).astype(int)
        assert abs(found - wanted).mean() < 12


def test_arrays() -> None:
    grey = np.array([[3, 200]], np.uint8)
    assert pixels(grey) == pixels(grey[:, :, None]) == [[[3] * 3, [200] * 3]]
    assert pixels(CORNERS[::-1, ::-1]) == CORNERS[::-1, ::-1].tolist()
    assert pixels(np.array([[0.5]])) == [[[128] * 3]]


def test_the_source_is_not_changed_and_not_shared() -> None:
    image = Image.new("RGB", (2, 2), "red")
    open_image(image).putpixel((0, 0), (0, 0, 0))
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_the_size_comes_from_the_header_alone() -> None:
    data = makers.picture("PNG", (2000, 1000))
    assert image_size(data[:200]) == (2000, 1000)
    with pytest.raises(MediaError):
        open_image(data[:200])


def test_pixels_are_counted_before_decoding() -> None:
    data = makers.png_of_size(30, 20)
    with pytest.raises(MediaError, match="30x20 pixels are above the limit of 599"):
        open_image(data, Limits(max_pixels=599))
    assert image_size(data, Limits(max_pixels=600)) == (30, 20)


def test_an_animation_as_a_picture_is_its_first_frame() -> None:
    data = makers.animation("GIF")
    assert media_kind(data) == "video"
    assert pixels(data)[0][0] == [0, 0, 0]
    assert media_kind(makers.picture("GIF")) == "image"


def test_media_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.png").write_bytes(makers.picture())
    (root / "link.png").symlink_to(root / "deep" / "a.png")
    limits = Limits(media_root=root)
    names = ("deep/a.png", "link.png", str(root / "deep/a.png"), "deep/../link.png")
    for name in names:
        assert open_image(name, limits).size == (24, 16)
    messages = set()
    for name in ("../there.png", "../not_there.png"):
        (tmp_path / "there.png").write_bytes(makers.picture())
        with pytest.raises(MediaError) as caught:
            open_image(name, limits)
        messages.add(str(caught.value).split(": ", 1)[1])
    assert len(messages) == 1  # says nothing about what exists outside


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, valley.media; "
        "print(sorted({'av', 'numpy', 'PIL', 'torch', 'ssl'} & set(sys.modules)))"
        "; from valley.media import image_size; print('av' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["[]", "False"]
