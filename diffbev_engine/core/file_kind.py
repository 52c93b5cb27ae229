"""What a file is by its first bytes, for messages about a file that is not what it should be."""

_BEGINNINGS = (
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, not the file itself (run `git lfs pull`)",
    ),
    (b"<!doctype html", "an HTML page, probably a download that was refused"),
    (b"<html", "an HTML page, probably a download that was refused"),
    (b"<?xml", "an XML file, probably a download that was refused"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"\x80\x02", "a pickle"),
)
_TAR_MAGIC = slice(257, 262)
HEAD_BYTES = 512
"""How much of a file ``kind_of`` needs."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of the camera images of a data root."""


def kind_of(head: bytes) -> str:
    """The kind of file that begins with ``head``, with an article; empty for text and anything unknown."""
    start = head.lstrip()[:64].lower() if head[:1] in b" \t\r\n<" else head
    for beginning, kind in _BEGINNINGS:
        if start.startswith(beginning):
            return kind
    return "a tar archive" if head[_TAR_MAGIC] == b"ustar" else ""
