"""Photos as cameras write them, with what some append; cut off ones are refused."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from diffbev_engine.prepare.image_file import decode_image

PIXELS = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (160, 120))
NOISE = np.random.default_rng(1).integers(0, 256, 3 << 20, np.uint8).tobytes()


def _jpeg(**options):
    file = io.BytesIO()
    Image.fromarray(PIXELS[..., ::-1]).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def _with_preview():
    """As most cameras write them: a small JPEG within the header."""
    exif = b"Exif\0\0" + _jpeg(progressive=True)
    return _jpeg(exif=exif)


@pytest.mark.parametrize("whole", [_jpeg(), _jpeg(progressive=True), _with_preview()])
@pytest.mark.parametrize(
    "appended",
    [b"", bytes(4096), b"SEFH" + NOISE[:300] + b"SEFT", _jpeg(), NOISE],
    ids=["nothing", "zeros", "notes", "a second picture", "a video"],
)
def test_what_a_camera_appends_is_left_out(whole, appended):
    assert np.array_equal(decode_image(whole + appended), decode_image(whole))
    assert np.abs(decode_image(whole).astype(int) - PIXELS).mean() < 8


@pytest.mark.parametrize("whole", [_jpeg(), _jpeg(progressive=True), _with_preview()])
@pytest.mark.parametrize("left", [-3, -100, 700])
def test_a_photo_that_is_cut_off_is_refused(whole, left):
    with pytest.raises(ValueError, match="truncated"):
        decode_image(whole[:left])


def test_a_photo_of_a_turned_phone_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(_jpeg(exif=exif)).shape == (160, 120, 3)
