"""The formats of pictures that the graph decodes: their names and the suffixes of their files."""

from __future__ import annotations

from data.families import IS_NEW

FORMATS: dict[str, tuple[str, ...]] = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "gif": (".gif",),
    "bmp": (".bmp",),
    **({"webp": (".webp",), "jxl": (".jxl",)} if IS_NEW else {}),
}
"""Suffixes by the name that records carry in `image/format`."""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
DECODED = "JPEG, PNG, GIF, BMP, WebP and JPEG XL" if IS_NEW else "JPEG, PNG, GIF and BMP"
OTHERS = "" if IS_NEW else "; on Python 3.11 or later it decodes WebP and JPEG XL, too"
"""What a refusal of another format adds."""
