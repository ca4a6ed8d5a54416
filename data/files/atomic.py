"""Files and folders that appear under their name only when they are complete.

A reader of the path sees the old content, the new content, or nothing: never a part. The content is written to a
partial path on the same file system and renamed at the end; an exception removes the partial path. A process that is
killed leaves it, and the next writer of the same path removes it. After a power failure nothing is guaranteed (no
`fsync`), and two writers at once need two partial paths.

Local paths need no TensorFlow. In a bucket one file is as safe as on a disk, but a folder is not: a bucket renames
file by file. Copy a folder there with `data.files.copy_tree` and name the file that readers look for as the last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from data.files.remote import is_remote


def write_aside(path: str, content: str | bytes) -> None:
    """Write a file, and create its folder, so that a reader finds the file complete or not at all.

    Args:
      path: local or remote; an existing file is replaced.
      content: text is written as UTF-8.
    """
    data = content.encode() if isinstance(content, str) else content
    folder = os.path.dirname(path)
    if is_remote(path):
        import tensorflow as tf

        tf.io.gfile.makedirs(folder)
        with atomic_path(path) as partial, tf.io.gfile.GFile(partial, "wb") as file:
            file.write(data)
        return
    os.makedirs(folder or ".", exist_ok=True)
    with atomic_path(path) as partial, open(partial, "wb") as local:
        local.write(data)


@contextlib.contextmanager
def atomic_path(path: str, partial: str = "", *, keep: bool = False) -> Iterator[str]:
    """Yield the path to write to; rename it to `path` when the block ends without an exception.

    The block creates a file or (on local paths) a folder under the yielded path.

    Args:
      path: local or remote; a file that exists is replaced, a folder must not exist.
      partial: the path to write to, on the same file system; `<path>.partial` if empty.
      keep: leave the partial content if the block fails, and hand it to the next block. For content that can be
        resumed, such as a download.

    Yields:
      The partial path. Nothing exists there, unless `keep` is set.
    """
    partial = partial or f"{path}.partial"
    if not keep and not is_remote(partial):  # remote: a file is overwritten anyway, without a request more
        _remove(partial)
    try:
        yield partial
        _rename(partial, path)
    except BaseException:
        if not keep:
            _remove(partial)
        raise


def _rename(source: str, target: str) -> None:
    if is_remote(target):
        import tensorflow as tf

        tf.io.gfile.rename(source, target, overwrite=True)
    else:
        os.replace(source, target)


def _remove(path: str) -> None:
    """Remove a file or a folder, if there is one."""
    if is_remote(path):
        import tensorflow as tf

        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.remove(path)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.remove(path)
