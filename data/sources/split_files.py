"""Base class of the sources with many records in each file, and the rule that assigns files to splits."""

from __future__ import annotations

import abc
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from data.errors import DataError
from data.files.listing import FILE, Entry, entries, is_visible, walk
from data.files.spool import Spool
from data.names import printable
from data.sources.base import BLOCK, Plan, list_found
from data.sources.splits import (
    SplitSource,
    ambiguous_splits,
    choose_splits,
    group_by_role,
    group_files_by_split,
    match_paths,
)
from data.spec import Feature, Label


@dataclass(frozen=True)
class FileSource(SplitSource):
    """A source with many records in each file, which it reads in blocks.

    A subclass sets `KIND` and defines `is_data_file`, `list_blocks` and `read`.

    Attributes:
      KIND: how messages call its files: "*.csv".
      NO_RECORDS: how messages describe a file without a record: "only a header".
    """

    KIND: ClassVar[str]
    NO_RECORDS: ClassVar[str]

    @staticmethod
    @abc.abstractmethod
    def is_data_file(name: str) -> bool:
        """Return whether a visible file of this name holds data."""

    @abc.abstractmethod
    def list_blocks(self, folder: str, name: str, feature: Feature) -> list[Any]:
        """Return the blocks of a file, in order; each is an item of the plan.

        Raises:
          DataError: If the file cannot be read.
        """

    def split_names(self, folder: str) -> frozenset[str]:
        """Return the splits that the names of folders and files show."""
        return frozenset(split_files(self, folder, self.is_data_file, self.KIND)[0])

    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """List the blocks of all files (`list_blocks`) by split.

        Raises:
          DataError: If there is no file, a file cannot be read, a split has no record, or the splits are ambiguous.
        """
        by_split, unused = split_files(self, folder, self.is_data_file, self.KIND)
        plan = Plan({}, records_per_item=BLOCK, unused=unused)
        for split, names in by_split.items():
            found = plan.splits[split] = Spool[Any]()
            for block in (block for name in names for block in self.list_blocks(folder, name, feature)):
                found.append(block)
            if not len(found):
                raise DataError(
                    f"no records in {printable(folder)}: {describe_files(names)} ({self.NO_RECORDS})",
                    hint="Write or fetch the data again.",
                )
            if split:
                plan.layout[split] = describe_files(names)
        return plan


def split_files(
    source: SplitSource, folder: str, is_data: Callable[[str], bool], kind: str
) -> tuple[dict[str, list[str]], Counter[str]]:
    """Return the data files below `folder` by split, and the number of ignored data files by their place.

    Data files are in the folder itself, or in one folder for each split. `source.splits` overrides the names.

    Args:
      source: the source, for its `splits`.
      folder: the data folder.
      is_data: whether a visible file of this name holds data.
      kind: how messages call such a file: "*.csv".

    Raises:
      DataError: If there are no files, or the splits are ambiguous.
    """
    paths = sorted(entry.path for entry in walk(folder, enter=is_visible) if _is_data(entry, is_data))
    if not paths:
        raise DataError(f"no records: no file named {kind} in {printable(folder)}", hint=_found_hint(folder))
    explicit = source.explicit_splits()
    if explicit is not None:
        return _match_splits(explicit, paths, folder, kind), Counter()
    top = [path for path in paths if "/" not in path]
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        if "/" in path:
            by_folder.setdefault(path.split("/")[0], []).append(path)
    split_folders = group_by_role(by_folder)
    if not split_folders:
        if not top:
            inner = posixpath.dirname(paths[0])
            hint = f"There are some in {printable(inner)}: --data {printable(posixpath.join(folder, inner))}"
            raise DataError(f"no records: no file named {kind} directly in {printable(folder)}", hint=hint)
        return group_files_by_split(top, folder), _count_unused(by_folder, ())
    if top:
        first = printable(split_folders[next(iter(split_folders))][0])
        raise ambiguous_splits(
            f"{printable(folder)} holds both the file {printable(top[0])} and the folder {first}, which looks like a"
            " split",
            split_folders,
        )
    splits = choose_splits(split_folders, folder)
    return {split: by_folder[name] for split, name in splits.items()}, _count_unused(by_folder, splits.values())


def _is_data(entry: Entry, is_data: Callable[[str], bool]) -> bool:
    return entry.kind == FILE and is_visible(entry.name) and is_data(entry.name)


def _count_unused(by_folder: dict[str, list[str]], used: Collection[str]) -> Counter[str]:
    """Count the data files in folders that are not used as a split."""
    return Counter({f"in {printable(name)}/": len(files) for name, files in by_folder.items() if name not in used})


def _match_splits(explicit: dict[str, str], paths: list[str], folder: str, kind: str) -> dict[str, list[str]]:
    """Return the files that `source.splits` names, by split."""
    if not explicit:
        return {"": paths}
    matches = {split: match_paths(paths, pattern) for split, pattern in explicit.items()}
    for split, files in matches.items():
        if not files:
            raise DataError(
                f"no records: no file named {kind} in {printable(folder)} matches '{explicit[split]}' (source.splits)",
                hint=_found_hint(folder),
            )
    counts = Counter(path for files in matches.values() for path in files)
    repeated = [path for path, count in counts.items() if count > 1]
    if repeated:
        raise DataError(
            f"{printable(repeated[0])} matches two splits of source.splits", hint="Each file may be in one split only."
        )
    return matches


def _found_hint(folder: str) -> str:
    """Return a hint with a few names of the files and folders in the folder."""
    names = [entry.name for entry in entries(folder) if is_visible(entry.name)]
    return f"Found: {list_found(names)}. Name the right folder with --data."


def describe_files(names: Sequence[str]) -> str:
    """Return the name of the only file, or the number of files and the first name."""
    return f"{len(names):,} files, {printable(names[0])} ..." if len(names) > 1 else printable(names[0])
