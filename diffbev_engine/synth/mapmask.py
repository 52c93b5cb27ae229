"""One location's semantic prior: an 8-bit picture, 255 on roads and walkways, 0.1 m a pixel.

The picture of a large location does not fit into memory comfortably, so it is drawn and
compressed row of tiles by row of tiles.  PNG: ISO/IEC 15948.
"""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from diffbev_engine.core.files import atomic_path
from diffbev_engine.synth.itinerary import Canvas
from diffbev_engine.synth.polygons import Polygon
from diffbev_engine.synth.world import Site

CELL = 0.1  # metres
_SHIFT = 4  # binary digits of subpixel position when drawing


def write_mask(path: Path, canvas: Canvas, sites: list[Site]) -> None:
    """Draw the roads and walkways of all sites of a location; north is up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, band_rows = round(canvas.edge[0] / CELL), round(canvas.cell / CELL)
    polygons = [
        polygon
        for site in sites
        for polygon in (*(p for group in site.polygons.drivable() for p in group), *site.polygons.walkways)
    ]
    compressor = zlib.compressobj(6)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack(">IIBBBBB", width, band_rows * canvas.rows, 8, 0, 0, 0, 0)  # 8-bit grey
        file.write(_chunk(b"IHDR", header))
        for row in reversed(range(canvas.rows)):
            band = _draw_band(polygons, row * canvas.cell, (band_rows, width))
            lines = np.concatenate([np.zeros((band_rows, 1), np.uint8), band], axis=1)  # no row filter
            file.write(_chunk(b"IDAT", compressor.compress(lines.tobytes())))
        file.write(_chunk(b"IDAT", compressor.flush()))
        file.write(_chunk(b"IEND", b""))


def _draw_band(polygons: list[Polygon], south: float, shape: tuple[int, int]) -> np.ndarray:
    """Draw what is in the band that begins at y = ``south`` metres."""
    band = np.zeros(shape, dtype=np.uint8)
    north = south + shape[0] * CELL
    for polygon in polygons:
        y = polygon.exterior[:, 1]
        if y.max() < south or y.min() > north:
            continue
        rings = [
            np.stack([ring[:, 0] / CELL - 0.5, (north - ring[:, 1]) / CELL - 0.5], -1)
            for ring in (polygon.exterior, *polygon.holes)
        ]
        cv2.fillPoly(
            band, [np.round(ring * 2**_SHIFT).astype(np.int32) for ring in rings], (255,), cv2.LINE_8, _SHIFT
        )
    return band


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
