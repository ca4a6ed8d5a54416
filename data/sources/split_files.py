"""The files of a source that reads many records from each file, by split."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from data.errors import DataError
from data.files.listing import FILE, Entry, entries, is_visible, walk
from data.names import printable
from data.sources.splits import SplitSource, chosen, file_splits, matching, refusal, roles


def split_files(
    source: SplitSource, folder: str, is_data: Callable[[str], bool], kind: str
) -> tuple[dict[str, list[str]], Counter[str]]:
    """The data files below `folder` by split, and what is passed over, by where it lies.

    Data files lie in the folder itself, or in a folder for each split. `source.splits` overrides what the names tell.

    Args:
      source: its `splits` count.
      folder: the data folder.
      is_data: whether a visible file of this name holds data.
      kind: what such a file is called, for messages: ".csv".

    Raises:
      DataError: no files, or splits that are not plain.
    """
    given = source.given()
    below = {entry.path for entry in walk(folder, enter=is_visible) if _is_data(entry, is_data)}
    if not below:
        raise DataError(f"no records: no file named {kind} in {printable(folder)}", hint=_found(folder))
    paths = sorted(below)
    if given is not None:
        return _given(given, paths, folder, kind), Counter()
    top = [path for path in paths if "/" not in path]
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        if "/" in path:
            by_folder.setdefault(path.split("/")[0], []).append(path)
    named = roles(by_folder)
    if not named:
        if not top:
            inner = posixpath.dirname(paths[0])
            hint = f"{printable(inner)} holds some: --data {printable(posixpath.join(folder, inner))}"
            raise DataError(f"no records: no file named {kind} directly in {printable(folder)}", hint=hint)
        return file_splits(top, folder), _beside(by_folder, ())
    if top:
        first = printable(named[next(iter(named))][0])
        raise refusal(f"{printable(top[0])} lies beside the folder {first} in {printable(folder)}", named)
    splits = chosen(named, folder)
    return {split: by_folder[name] for split, name in splits.items()}, _beside(by_folder, list(splits.values()))


def _is_data(entry: Entry, is_data: Callable[[str], bool]) -> bool:
    return entry.kind == FILE and is_visible(entry.name) and is_data(entry.name)


def _beside(by_folder: dict[str, list[str]], taken: Collection[str]) -> Counter[str]:
    """Data files in folders that are no split."""
    return Counter({f"in {printable(name)}/": len(some) for name, some in by_folder.items() if name not in taken})


def _given(given: dict[str, str], paths: list[str], folder: str, kind: str) -> dict[str, list[str]]:
    """The files of `source.splits`."""
    if not given:
        return {"": paths}
    found = {split: matching(paths, pattern) for split, pattern in given.items()}
    for split, some in found.items():
        if not some:
            raise DataError(
                f"no records: no file named {kind} in {printable(folder)} is '{given[split]}' (source.splits)",
                hint=_found(folder),
            )
    twice = [path for path, count in Counter(path for some in found.values() for path in some).items() if count > 1]
    if twice:
        raise DataError(f"{printable(twice[0])} belongs to two splits of source.splits")
    return found


def _found(folder: str) -> str:
    """A few names that lie in the folder, for a hint."""
    names = [printable(entry.name) for entry in entries(folder) if is_visible(entry.name)]
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return f"Found: {', '.join(names[:8]) or 'nothing'}{more}. --data names the folder."


def shown(names: Sequence[str]) -> str:
    """Files, for people: the only one, or how many and the first."""
    return f"{len(names):,} files, {printable(names[0])} ..." if len(names) > 1 else printable(names[0])
