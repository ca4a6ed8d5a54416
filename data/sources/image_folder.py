"""A folder of pictures with one folder per class, with or without folders for the splits above them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.errors import DataError, UsageError
from data.files.listing import CIRCLE, FILE, FOLDER, Entry, entries, is_visible, walk
from data.images.formats import SUFFIXES
from data.images.headers import read_header
from data.images.validate import UNSUPPORTED, check_files, suffix
from data.names import listed, printable
from data.records import Outcome, Rejected, image_record
from data.sources.base import Plan, ahead, chunks
from data.sources.labels import NoLabel, folder_label
from data.sources.splits import SplitSource, chosen, refusal, roles
from data.spec import Classes, Feature, Image, Label

_ALIKE = 0.5  # share of their folders that two folders have in common if they are splits
_COMPARED = 200  # folders that are compared with one another


@dataclass(frozen=True)
class ImageFolder(SplitSource):
    """Pictures in a folder per class: `cats/1.jpg`, or `train/cats/1.jpg` beside `validation/cats/2.jpg`.

    A class is a folder's name; pictures may lie in folders below it. Without folders for the splits, a picture's
    content decides its split. `data.sources.splits` says which names are splits. Hidden files and folders and other
    files are counted as "not a picture", pictures outside of the class folders as unused.
    """

    def split_names(self, folder: str) -> frozenset[str]:
        """The splits, from the names of the upper folders."""
        return frozenset(self._layout(folder)[0])

    def plan(self, folder: str, feature: Feature) -> Plan:
        """Lists (path below `folder`, class folder) of every picture, by split.

        Raises:
          DataError: no class, one without pictures, or splits that are not plain.
        """
        if not isinstance(feature, Image):
            raise UsageError("an ImageFolder gives pictures: the task's feature must be an Image")
        layout, notes = self._layout(folder)
        plan = Plan({}, notes=notes)
        plan.layout.update({split: below for split, below in layout.items() if split})
        _pass_over(plan, folder, "", set(layout.values()))
        for split, below in layout.items():
            found = _classes(plan, folder, below)
            if self.given() is None and not split:
                _check_no_splits(folder, found)
            plan.splits[split] = [(path, name) for name, one in found.items() for path in one.pictures]
            plan.classes.update(found)
        return plan

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Reads and decodes each picture with the transform's own decoder; what it refuses is rejected."""
        assert isinstance(feature, Image) and isinstance(label, Classes)
        for chunk, checked in ahead(
            lambda part: check_files(
                [posixpath.join(folder, path) for path, _ in part], feature.channels, feature.max_pixels
            ),
            chunks(items),
        ):
            for (path, name), (contents, size, reason, message) in zip(chunk, checked, strict=True):
                if reason:
                    yield Rejected(path, reason, message)
                    continue
                try:
                    yield image_record(contents, size, read_header(contents), folder_label(name, label), path)
                except NoLabel as error:
                    yield Rejected(path, "unknown label", str(error))

    def _layout(self, folder: str) -> tuple[dict[str, str], list[str]]:
        """The folder that holds the class folders of each split ("" for the data folder itself), and notes on it.

        Raises:
          DataError: no folder, or splits that are not plain.
        """
        given = self.given()
        if given is not None:
            for name in given.values():
                entries(posixpath.join(folder, name), _is_picture)  # which says what is wrong with it
            return given or {"": ""}, []
        top = entries(folder, _is_picture)
        layout, notes = _named(folder, "", top)
        inner = _only_folder(top)
        if not layout and inner:  # the archive's own folder
            layout, _ = _named(folder, inner, entries(posixpath.join(folder, inner), _is_picture))
        return layout or {"": ""}, notes


def _named(folder: str, below: str, listed: Sequence[Entry]) -> tuple[dict[str, str], list[str]]:
    """The splits that the names of the folders tell; none where no name does.

    Raises:
      DataError: they do not make a whole.
    """
    folders = [one.name for one in listed if one.kind == FOLDER and is_visible(one.name)]
    named = roles(folders)
    if not named:
        return {}, []
    where = posixpath.join(folder, below) if below else folder
    holds = {name: _class_parent(folder, posixpath.join(below, name)) for some in named.values() for name in some}
    flat = [name for name, parent in holds.items() if parent is None]
    others = [name for name in folders if name not in holds]
    if (
        len(flat) == len(holds)
        and len(named) == 1
        and len(others) >= 2
        and all(_class_parent(folder, posixpath.join(below, name)) is None for name in others[:_COMPARED])
    ):  # as "train" in CIFAR-100, or "test_tube": it holds pictures, as the folders of the other classes do
        return {}, [f"'{printable(flat[0])}' is taken for a class, in spite of its name: it holds pictures"]
    if len(flat) == len(holds):
        raise refusal(
            f"'{printable(flat[0])}' in {printable(where)} looks like a split, but holds no folder for each class",
            named,
        )
    # A test set without labels, as competitions hand out, is no split here; without it the rest must be whole.
    labelled = {role: [name for name in some if name not in flat] for role, some in named.items()}
    try:
        splits = chosen(labelled, where)
    except DataError as error:
        if flat:
            text = f"{error}; '{printable(flat[0])}' holds no folder for each class"
            raise DataError(text, hint=error.hint) from None
        raise
    return {split: str(holds[name]) for split, name in splits.items()}, []


def _class_parent(folder: str, below: str) -> str | None:
    """The folder at or below `below` that holds the class folders; None where it holds no folders.

    Archives often hold a folder once more within itself: `seg_train/seg_train/sea`.
    """
    listed = entries(posixpath.join(folder, below), _is_picture)
    inner = _only_folder(listed)
    if inner and (inner == posixpath.basename(below) or set(roles([inner])) & set(roles([posixpath.basename(below)]))):
        deeper = posixpath.join(below, inner)
        if any(_is_class_folder(one) for one in entries(posixpath.join(folder, deeper), _is_picture)):
            return deeper
    return below if any(_is_class_folder(one) for one in listed) else None


def _is_class_folder(entry: Entry) -> bool:
    return entry.kind == FOLDER and is_visible(entry.name)


def _only_folder(listed: Sequence[Entry]) -> str | None:
    """The one visible folder, where there are no pictures beside it."""
    folders = [one.name for one in listed if _is_class_folder(one)]
    pictures = any(one.kind != FOLDER and _is_picture(one.name) for one in listed)
    return folders[0] if len(folders) == 1 and not pictures else None


def _is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture, be it one that can be decoded or not."""
    return is_visible(name) and suffix(name) in SUFFIXES | UNSUPPORTED


def _kind(entry: Entry) -> str:
    """How an entry that is no picture is counted: a hidden one by its name, another by its suffix."""
    if entry.kind == FOLDER:
        return f"{printable(entry.name)}/"
    if entry.kind != FILE:
        return entry.kind
    if entry.name.startswith(".") and not entry.name.startswith("._"):
        return printable(entry.name)
    ending = suffix(entry.name)
    is_word = 1 < len(ending) <= 8 and ending[1:].isalnum() and not ending[1:].isdecimal() and ending.isascii()
    return ending if is_word else "without a suffix"


def _count(plan: Plan, entry: Entry, where: str) -> None:
    """Counts what is passed over: a picture by where it lies, anything else by its kind."""
    if entry.kind != FOLDER and _is_picture(entry.name):
        plan.unused[where] += 1
    else:
        plan.not_pictures[_kind(entry)] += 1


def _pass_over(plan: Plan, folder: str, below: str, taken: set[str]) -> None:
    """Counts what lies outside of the folders taken: files beside them, and the folders that are no split."""
    if below in taken:
        return
    for entry in entries(posixpath.join(folder, below), _is_picture):
        path = posixpath.join(below, entry.name)
        if any(one == path or one.startswith(f"{path}/") for one in taken):
            _pass_over(plan, folder, path, taken)
        elif entry.kind == FOLDER and is_visible(entry.name):
            for one in walk(folder, path, is_visible, _is_picture):
                _count(plan, one, f"in {printable(path)}/")
        else:
            _count(plan, entry, "in no folder of a split")


@dataclass
class _Class:
    """A class folder: the pictures' paths, how many lie directly in it, and the folders in it."""

    pictures: list[str] = field(default_factory=list)
    own: int = 0
    folders: set[str] = field(default_factory=set)


def _classes(plan: Plan, folder: str, below: str) -> dict[str, _Class]:
    """The class folders in `below`, by name, sorted; counts what is no picture."""
    here = posixpath.join(folder, below) if below else folder
    listed = entries(here, _is_picture)
    names = [one.name for one in listed if _is_class_folder(one)]
    if not names:
        loose = sum(one.kind != FOLDER and _is_picture(one.name) for one in listed)
        what = f"{loose} pictures lie directly in it" if loose else "it holds no folders"
        raise DataError(
            f"no class in {printable(here)}: {what if listed else 'the folder is empty'}",
            hint="Put the pictures of each class into a folder of its own.",
        )
    for entry in listed:
        if entry.kind not in (FILE, FOLDER):  # it may be a class: a link to a disk that is not mounted
            plan.not_pictures[f"{printable(posixpath.join(below, entry.name))} ({entry.kind})"] += 1
        elif not _is_class_folder(entry):
            _count(plan, entry, "in no class folder")
    found: dict[str, _Class] = {}
    for name in names:
        if printable(name) != name:
            raise DataError(
                f"the folder '{printable(name)}' in {printable(here)} cannot be a class: its name is not UTF-8",
                hint="Rename it, for example with convmv -f latin1 -t utf8.",
            )
        found[name] = _class(plan, folder, posixpath.join(below, name))
    return found


def _class(plan: Plan, folder: str, below: str) -> _Class:
    found = _Class()
    for entry in walk(folder, below, is_visible, _is_picture):
        first, _, rest = entry.path[len(below) + 1 :].partition("/")
        if rest:
            found.folders.add(first)
        if not _is_picture(entry.name) or entry.kind in (FOLDER, CIRCLE):
            plan.not_pictures[_kind(entry)] += 1
            continue
        found.pictures.append(entry.path)  # one that is no plain file is rejected when it is read
        found.own += not rest
    if not found.pictures:
        here = posixpath.join(folder, below)
        raise DataError(
            f"class '{posixpath.basename(below)}' has no pictures in {printable(here)}",
            hint=f"Add pictures ({', '.join(sorted(SUFFIXES))}) or remove the folder.",
        )
    return found


def _check_no_splits(folder: str, classes: Mapping[str, _Class]) -> None:
    """Looks whether the class folders are something else: splits under names that are not known, or one too high.

    Raises:
      DataError: they are.
    """
    for name, one in classes.items():
        inner = roles(one.folders)
        if inner.get("train") and set(inner) > {"train"}:
            splits = ", ".join(sorted(one.folders))
            raise DataError(
                f"the folder '{name}' in {printable(folder)} holds the folders {splits}: splits below a class",
                hint=f"Put the splits above the classes: {inner['train'][0]}/{name}. Or: --set source.splits=none",
            )
    if len(classes) == 1:
        ((name, one),) = classes.items()
        if not one.own and len(one.folders) > 1:
            inner_names = listed(sorted(one.folders), 4)
            raise DataError(
                f"only one class, '{name}', in {printable(folder)}: it holds the folders {inner_names}",
                hint=f"Are these the classes? --data {printable(posixpath.join(folder, name))}",
            )
    bare = [(name, one.folders) for name, one in classes.items() if not one.own and len(one.folders) > 1][:_COMPARED]
    for index, (name, inner_folders) in enumerate(bare):
        for other, others in bare[index + 1 :]:
            if len(inner_folders & others) >= 2 and len(inner_folders & others) >= _ALIKE * len(inner_folders | others):
                raise DataError(
                    f"'{name}' and '{other}' in {printable(folder)} look like splits, not like classes: both hold the"
                    f" folders {listed(sorted(inner_folders & others), 4)}",
                    hint=f'Say which is which: --set source.splits="train={name},eval={other}"; or, if they are'
                    " classes: --set source.splits=none",
                )
