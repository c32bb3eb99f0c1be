"""Pictures: whatever the source, RGB pixels the right way up.

Colour profiles are not applied: the models were trained on pixels as stored.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

# The plugins register themselves; importing these six keeps Pillow from loading all others.
from PIL import (  # noqa: F401
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from valley.media.limits import DEFAULT, Limits, check_size, reading, refusal
from valley.media.sources import open_binary, sniff_file
from valley.types import MediaSource, Size

# Pillow warns and logs on stderr about odd metadata and large headers; here every case is
# either harmless or an error. Appended, so that filters of the user come first.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(source: MediaSource, limits: Limits = DEFAULT) -> Image.Image:
    """A picture as RGB: EXIF orientation applied, transparency laid on white, 16 bits scaled to 8.

    Of an animation the first frame. Raises MediaError.
    """
    with reading(source):
        if isinstance(source, np.ndarray):
            _array_size(source, limits)
            return _from_array(source)
        with _header(source, limits) as image:
            return _upright(image)


def open_as_stored(source: MediaSource, limits: Limits = DEFAULT) -> Image.Image:
    """A picture as published code opens it: neither turned nor laid on white, converted to RGB by
    Pillow. An array is no file, and opened as always. Raises MediaError.
    """
    if isinstance(source, np.ndarray):
        return open_image(source, limits)
    with reading(source), _header(source, limits) as image:
        return image.convert("RGB")


def image_size(source: MediaSource, limits: Limits = DEFAULT, *, as_stored: bool = False) -> Size:
    """(width, height) in pixels of what `open_image` would return, or `open_as_stored`, from the
    header alone. Raises MediaError.
    """
    with reading(source):
        if isinstance(source, np.ndarray):
            return _array_size(source, limits)
        with _header(source, limits) as image:
            width, height = image.size
            turned = not as_stored and _orientation(image) >= 5
            return (height, width) if turned else (width, height)


def read_header(source: MediaSource, file: BinaryIO, format: str, limits: Limits) -> Image.Image:
    """An image of `format`, its size allowed, its pixels not decoded yet."""
    try:
        image = Image.open(file, formats=[format])
    except Image.DecompressionBombError as error:
        problem = f"its pixels are above the limit of {limits.max_pixels}: scale it down"
        raise refusal(source, problem) from error
    check_size(source, image.size, limits)
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as a new RGB image without metadata."""
    if image.mode == "F":
        rgb = _from_array(np.asarray(image))
    elif image.mode.startswith("I"):
        rgb = _from_16_bit(image)
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        rgb = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    else:
        rgb = image.convert("RGB")
    rgb.info = {}  # an orientation left here would be applied again by whoever comes next
    return rgb


def _from_array(array: np.ndarray) -> Image.Image:
    """RGB from an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, or floats in 0..1."""
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise refusal(array, "the array holds NaN or infinity: clean it")
        if array.min() < 0 or array.max() > 1:
            raise refusal(array, "floats must lie in 0..1: divide by 255, or convert to uint8")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise refusal(array, f"arrays of {array.dtype} are not taken: use uint8, or floats in 0..1")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)))


def _array_size(array: np.ndarray, limits: Limits) -> Size:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise refusal(
            array,
            f"an array of shape {array.shape} is no picture: use (H, W), (H, W, 3) or (H, W, 4)",
        )
    return check_size(array, (array.shape[1], array.shape[0]), limits)


@contextmanager
def _header(source: MediaSource, limits: Limits) -> Iterator[Image.Image]:
    """An image whose header is read and whose size is allowed; its pixels are not decoded yet."""
    if isinstance(source, Image.Image):
        check_size(source, source.size, limits)
        yield source
        return
    with open_binary(source, limits) as file:
        found = sniff_file(source, file)
        if found.kind != "image":
            raise refusal(source, "is a video, not a picture: pass it as a video")
        with read_header(source, file, found.name, limits) as image:
            yield image


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    image.load()
    rgb = to_rgb(image)
    return rgb.transpose(turn) if turn is not None else rgb


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 that is still to be applied; 1 where it is absent or makes no sense."""
    if image.format == "TIFF":
        return 1  # Pillow turns TIFF files itself, size and pixels
    try:
        # Not image.getexif(): for PNG that decodes all pixels to look for a trailing chunk.
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:
        # Damaged metadata is no reason to refuse a picture.
        return 1
    return value if value in _TURNS else 1


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Modes I and I;16*: 0..65535 scaled to 0..255 (Pillow's own conversion clips)."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise refusal(image, "its samples exceed 16 bits: convert it to 8 or 16 bits")
    grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey[values == clear] = 255
    return Image.fromarray(grey).convert("RGB")
