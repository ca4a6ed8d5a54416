"""What a client sends and what the model wants, as pictures beside each other, with their difference."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image as Pil

from components.review.client_pictures import ChangedAnswer
from components.review.record import ClientPicture, Picture
from components.review.thumbnails import thumbnail

WHOLE = 64  # pixels of the longer side up to which a picture is shown as a whole
PART = 48  # pixels of a side of the part that is shown of a larger one, if it has so many

_Pixels = npt.NDArray[np.uint8]


def client_picture(changed: ChangedAnswer) -> ClientPicture:
    """Return a picture whose answer a client changes, with its pixels as data URIs.

    Of a picture of more than `WHOLE` pixels the part of `PART` by `PART` pixels with the largest sum of differences is
    shown, so that single pixels can be seen.

    Args:
      changed: What was measured.
    """
    served = _pixels(changed.served)
    picture = Picture(
        changed.source,
        thumbnail(served),
        changed.width,
        changed.height,
        label=changed.label,
        answer=changed.answer_served,
        score=changed.score_served,
    )
    found = ClientPicture(
        changed.client, changed.about, picture, "", "", changed.answer, changed.score, changed.score_name
    )
    sent = _pixels(changed.sent) if changed.sent else None
    is_part = max(served.shape[:2]) > WHOLE
    if sent is None:
        found.served = picture.thumbnail if is_part else _data_uri(served)
        found.height, found.width = served.shape[:2]
        return found
    differences = np.abs(served.astype(np.int16) - sent)
    found.largest = int(differences.max())
    part = largest_part(differences.sum(axis=2)) if is_part else (slice(None), slice(None))
    found.sent, found.served = _data_uri(sent[part]), _data_uri(served[part])
    found.height, found.width = served[part].shape[:2]
    shown = differences[part].max(axis=2, keepdims=True)
    found.difference = _data_uri((shown * 255.0 / max(1, shown.max())).round().astype(np.uint8))
    found.whole_sent = thumbnail(sent) if is_part else ""
    return found


def largest_part(weights: npt.NDArray[np.integer], side: int = PART) -> tuple[slice, slice]:
    """Return the square with the largest sum; of equal ones the first.

    Args:
      weights: [height, width].
      side: Of the square; a picture that is lower or narrower is not cut there.
    """
    height, width = (min(side, size) for size in weights.shape)
    sums = np.zeros((weights.shape[0] + 1, weights.shape[1] + 1), np.int64)
    sums[1:, 1:] = weights.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def _pixels(png: str) -> _Pixels:
    """Return uint8 [height, width, channels], with 1 or 3 channels."""
    with Pil.open(io.BytesIO(base64.b64decode(png))) as picture:
        found: _Pixels = np.asarray(picture)
    return found if found.ndim == 3 else found[..., np.newaxis]


def _data_uri(pixels: _Pixels) -> str:
    """Return the pixels as they are, without loss."""
    content = io.BytesIO()
    Pil.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
