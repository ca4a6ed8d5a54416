"""A listing of a bucket that is made once: the fingerprint's and the plan's are the same requests."""

from __future__ import annotations

import contextlib
import pickle
import posixpath
from collections.abc import Iterator

from data.files.bucket import BucketPage, is_bucket, list_bucket
from data.files.listing import FILE, FOLDER, KNOWN, Entry
from data.files.missing import no_folder
from data.files.spool import own_file


class KnownListing:
    """The entries of all folders below a folder of a bucket, in a file without a name on this machine."""

    def __init__(self, root: str) -> None:
        """Create an empty listing.

        Args:
          root: the folder.
        """
        self._root = root.rstrip("/")
        self._file = own_file(self)
        self._starts: dict[str, list[int]] = {}  # of the pages of each folder

    def add(self, page: BucketPage) -> None:
        """Add a page."""
        if not (page.files or page.folders):
            return
        found = [*(Entry(name, FILE) for name, _, _ in page.files), *(Entry(name, FOLDER) for name in page.folders)]
        self._starts.setdefault(page.folder, []).append(self._file.seek(0, 2))
        for name in page.folders:  # also one without files, as Google's console creates
            self._starts.setdefault(posixpath.join(page.folder, name), [])
        pickle.dump(sorted(found), self._file, pickle.HIGHEST_PROTOCOL)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield what is directly in a folder, sorted by name.

        Raises:
          DataError: If there is no such folder.
        """
        below = posixpath.normpath(folder.rstrip("/")[len(self._root) + 1 :] or ".")
        starts = self._starts.get("" if below == "." else below)
        if starts is None:
            raise no_folder(folder)
        for start in starts:
            self._file.seek(start)
            yield from pickle.load(self._file)


_kept: dict[str, KnownListing] = {}


def listed_pages(folder: str) -> Iterator[BucketPage] | None:
    """Yield the pages of a folder of a bucket, and keep them for the next `known_listing` of it in this process.

    Args:
      folder: the data folder.

    Returns:
      None if the folder is not in a bucket that `list_bucket` can list.
    """
    pages = list_bucket(folder) if is_bucket(folder) else None
    return _keep(folder, pages) if pages is not None else None


def _keep(folder: str, pages: Iterator[BucketPage]) -> Iterator[BucketPage]:
    listing = KnownListing(folder)
    _kept.clear()
    for page in pages:
        listing.add(page)
        yield page
    _kept[folder] = listing


@contextlib.contextmanager
def known_listing(folder: str) -> Iterator[None]:
    """Let `data.files.listing` look into one listing of a bucket, instead of asking it folder by folder.

    It is that of the driver, if this process has kept it; it is used once, and nowhere else.

    Args:
      folder: the data folder; nothing changes for one that is not in a bucket.
    """
    listing = _kept.pop(folder, None)
    if listing is None:
        for _ in listed_pages(folder) or ():
            pass
        listing = _kept.pop(folder, None)
    if listing is None:
        yield
        return
    KNOWN[folder.rstrip("/")] = listing
    try:
        yield
    finally:
        del KNOWN[folder.rstrip("/")]
