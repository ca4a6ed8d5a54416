"""Read a folder of images with one folder per class, with or without folders for the splits above them."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.errors import DataError, UsageError
from data.files.listing import CIRCLE, FILE, FOLDER, Entry, each_entry, is_visible, walk
from data.files.spool import HashParts, Spool
from data.images.formats import SUFFIXES, UNSUPPORTED, read_header, suffix
from data.images.validate import Checked, check_files
from data.names import list_names, printable, to_bytes, to_utf8
from data.records import Outcome, Rejected, image_record
from data.sources.base import CHUNK, Plan, prefetch
from data.sources.labels import InvalidLabel, label_order, resolve_class
from data.sources.splits import SplitSource, ambiguous_splits, choose_splits, group_by_role
from data.spec import Classes, Feature, Image, Label, Labels, Number
from data.tables.repeats import hash_key

_Picture = tuple[str, str]  # path and name of the class folder
_Group = tuple[_Picture, ...]

_IMAGE_SUFFIXES = SUFFIXES | UNSUPPORTED
_MIN_OVERLAP = 0.5  # two folders that share at least this part of their folders look like splits
_MAX_COMPARED = 200  # number of folders that are compared with one another


@dataclass(frozen=True)
class ImageFolder(SplitSource):
    """Source of images with one folder per class: `cats/1.jpg`, or `train/cats/1.jpg` and `validation/cats/2.jpg`.

    The name of the folder is the class; images may be in folders below it. Without folders for the splits, the content
    of an image decides its split. `data.sources.splits` defines which names are splits. Hidden files and folders and
    other files are counted as "not a picture", images outside of the class folders as unused.

    For `Labels`, a picture is in the folder of each of its labels, under the same name: `cats/1.jpg` and `dogs/1.jpg`
    with equal bytes, copies or links, are one picture with two labels. With different bytes they are two pictures.
    """

    def split_names(self, folder: str) -> frozenset[str]:
        """Return the splits that the names of the upper folders show."""
        return frozenset(self._layout(folder)[0])

    def check_label(self, label: Label) -> None:
        """Check that the label is a name, as folders have.

        Raises:
          UsageError: If it is a number.
        """
        if isinstance(label, Number):
            raise UsageError("the labels of an ImageFolder are its folders, so the label must be Classes or Labels")

    def plan(self, folder: str, feature: Feature, label: Label | None = None) -> Plan:
        """List (path below `folder`, name of the class folder) of every image, by split.

        For `Labels`, an item is a tuple of these pairs: the images with the same path below their class folders.

        Raises:
          DataError: If there is no class, a class has no images, or the splits are ambiguous.
        """
        if not isinstance(feature, Image):
            raise UsageError("ImageFolder reads pictures: the task's feature must be an Image")
        layout, notes = self._layout(folder)
        plan = Plan({}, in_order=False, notes=notes)
        plan.layout.update({split: below for split, below in layout.items() if split})
        _count_unused(plan, folder, "", set(layout.values()))
        for split, below in layout.items():
            images = Spool[_Picture]()
            classes = _list_classes(plan, folder, below, images)
            if self.explicit_splits() is None and not split:
                _check_no_splits(folder, classes)
            plan.splits[split] = _group_by_name(images, below) if isinstance(label, Labels) else images
            plan.records_per_item = max(plan.records_per_item, -(-len(images) // len(plan.splits[split])))
            plan.classes.update(classes)
        return plan

    def read(
        self, folder: str, items: Sequence[Any], feature: Feature, label: Label, rng: np.random.Generator
    ) -> Iterator[Outcome]:
        """Read and decode each image with the transform's own decoder; reject those that it cannot decode."""
        assert isinstance(feature, Image) and isinstance(label, (Classes, Labels))

        def check_chunk(chunk: Sequence[_Group]) -> list[Checked]:
            paths = [posixpath.join(folder, path) for group in chunk for path, _ in group]
            return check_files(paths, feature.channels, feature.max_pixels, feature.background)

        groups: Iterable[_Group] = items if isinstance(label, Labels) else ((item,) for item in items)
        for chunk, checked in prefetch(check_chunk, _chunk_groups(groups)):
            remaining = iter(checked)
            for group in chunk:
                yield from _merge_equal(group, list(itertools.islice(remaining, len(group))), label)

    def _layout(self, folder: str) -> tuple[dict[str, str], list[str]]:
        """Return the parent of the class folders of each split ("" for the data folder itself), and notes for the user.

        Raises:
          DataError: If a folder is missing, or the splits are ambiguous.
        """
        explicit = self.explicit_splits()
        if explicit is not None:
            for name in explicit.values():
                _look(posixpath.join(folder, name))  # raises if the folder is missing or unreadable
            return explicit or {"": ""}, []
        top = _look(folder)
        layout, notes = _split_folders(folder, "", top)
        inner = _single_folder(top)
        if not layout and inner:  # the archive's own folder
            layout, _ = _split_folders(folder, inner, _look(posixpath.join(folder, inner)))
        return layout or {"": ""}, notes


def _chunk_groups(groups: Iterable[_Group]) -> Iterator[list[_Group]]:
    """Yield lists of groups that together have `CHUNK` images, or a few more."""
    chunk: list[_Group] = []
    count = 0
    for group in groups:
        chunk.append(group)
        count += len(group)
        if count >= CHUNK:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


def _make_record(path: str, checked: Checked, names: Sequence[str], label: Classes | Labels) -> Outcome:
    """Return the record of an image that is in the class folders of these names."""
    contents, size, reason, message = checked
    if reason:
        return Rejected(path, reason, message, contents)
    try:
        resolved = {resolve_class(name, label) for name in names}
        found = tuple(label_order(resolved)) if isinstance(label, Labels) else resolved.pop()
    except InvalidLabel as error:
        return Rejected(path, "unknown label", str(error), contents)
    return image_record(contents, size, read_header(contents), found, path)


def _merge_equal(images: _Group, checked: Sequence[Checked], label: Classes | Labels) -> Iterator[Outcome]:
    """Make one record of the images that have equal bytes; reject those that cannot be decoded one by one.

    Args:
      images: path and name of the class folder of each image.
      checked: the image of each.
      label: the task's label.
    """
    if len(images) == 1:
        yield _make_record(images[0][0], checked[0], (images[0][1],), label)
        return
    equal: dict[bytes, list[int]] = {}
    for index, ((path, name), one) in enumerate(zip(images, checked, strict=True)):
        if one.reason:
            yield _make_record(path, one, (name,), label)
        else:
            equal.setdefault(one.contents, []).append(index)
    for indices in equal.values():
        yield _make_record(images[indices[0]][0], checked[indices[0]], [images[index][1] for index in indices], label)


def _group_by_name(images: Spool[_Picture], below: str) -> Spool[_Group]:
    """Group images by their paths below their class folders.

    Args:
      images: path and name of the class folder of each image.
      below: the folder of the class folders.
    """
    found, parts = Spool[_Group](), HashParts[_Picture]()
    for path, name in images:
        parts.add(hash_key(to_bytes(_below_class(path, name, below))), (path, name))
    for part in parts.read():
        groups: dict[str, list[_Picture]] = {}
        for _, (path, name) in part:
            groups.setdefault(_below_class(path, name, below), []).append((path, name))
        for group in groups.values():
            found.append(tuple(group))
    return found


def _below_class(path: str, name: str, below: str) -> str:
    return path[(len(below) + 1 if below else 0) + len(name) + 1 :]


def _split_folders(folder: str, below: str, found: _Level) -> tuple[dict[str, str], list[str]]:
    """Return the folder of each split, if the names of the folders show splits, and notes for the user.

    Args:
      folder: the data folder.
      below: the folder to look into, as a path below `folder`; "" for `folder` itself.
      found: what is in that folder.

    Raises:
      DataError: If the folders that look like splits are not complete, or hold no class folders.
    """
    folders = found.folders
    groups = group_by_role(folders)
    if not groups:
        return {}, []
    where = posixpath.join(folder, below) if below else folder
    parents = {name: _class_parent(folder, posixpath.join(below, name)) for group in groups.values() for name in group}
    flat = [name for name, parent in parents.items() if parent is None]
    if len(flat) == len(parents):
        others = [name for name in folders if name not in parents]
        if len(groups) == 1 and _are_classes(folder, below, others):
            return {}, [f"'{printable(flat[0])}' is read as a class, despite its name: it holds pictures"]
        raise ambiguous_splits(
            f"'{printable(flat[0])}' in {printable(where)} looks like a split, but holds no folder for each class",
            groups,
        )
    # A test set without labels, as in competitions, is ignored; the other folders must be complete without it.
    labelled = {role: [name for name in group if name not in flat] for role, group in groups.items()}
    try:
        splits = choose_splits(labelled, where)
    except DataError as error:
        if flat:
            text = f"{error}; '{printable(flat[0])}' holds no folder for each class"
            raise DataError(text, hint=error.hint) from None
        raise
    return {split: str(parents[name]) for split, name in splits.items()}, []


def _are_classes(folder: str, below: str, names: Sequence[str]) -> bool:
    """Return whether at least two folders hold images and no folders, as classes do.

    Then a folder next to them is a class, too, whose name happens to contain a word for a split: "train" in CIFAR-100,
    or "test_tube".
    """
    return len(names) >= 2 and all(
        _class_parent(folder, posixpath.join(below, name)) is None for name in names[:_MAX_COMPARED]
    )


def _class_parent(folder: str, below: str) -> str | None:
    """Return the folder at or below `below` that holds the class folders, or None if there are no folders.

    In archives, a folder often holds a folder of the same name: `seg_train/seg_train/sea`.
    """
    found = _look(posixpath.join(folder, below))
    inner, name = _single_folder(found), posixpath.basename(below)
    if inner and (inner == name or set(group_by_role([inner])) & set(group_by_role([name]))):
        deeper = posixpath.join(below, inner)
        if _look(posixpath.join(folder, deeper)).folders:
            return deeper
    return below if found.folders else None


def _is_visible_folder(entry: Entry) -> bool:
    return entry.kind == FOLDER and is_visible(entry.name)


@dataclass
class _Level:
    """What is directly in a folder; images that are files are only counted.

    Attributes:
      others: everything else, sorted by name.
      images: number of images that are files.
    """

    others: list[Entry] = field(default_factory=list)
    images: int = 0

    @property
    def folders(self) -> list[str]:
        """Names of the visible folders."""
        return [one.name for one in self.others if _is_visible_folder(one)]

    @property
    def all_images(self) -> int:
        """Number of images, whether they are files or, for example, links to nowhere."""
        return self.images + sum(one.kind != FOLDER and _is_image(one.name) for one in self.others)


def _look(folder: str) -> _Level:
    """Return what is directly in a folder.

    Raises:
      DataError: If the folder does not exist, or cannot be read.
    """
    found = _Level()
    for entry in each_entry(folder, _is_image):
        if entry.kind == FILE and _is_image(entry.name):
            found.images += 1
        else:
            found.others.append(entry)
    found.others.sort()
    return found


def _single_folder(found: _Level) -> str | None:
    """Return the only visible folder, or None if there are several, or images next to it."""
    folders = found.folders
    return folders[0] if len(folders) == 1 and not found.all_images else None


def _is_image(name: str) -> bool:
    """Return whether a file's name is that of an image, in a format that can be decoded or not."""
    return is_visible(name) and name[name.rfind(".") :].lower() in _IMAGE_SUFFIXES  # as `suffix` has it, but faster


def _ignored_kind(entry: Entry) -> str:
    """Return how an entry that is not an image is counted: a hidden one by its name, others by their suffix."""
    if entry.kind == FOLDER:
        return f"{printable(entry.name)}/"
    if entry.kind != FILE:
        return entry.kind
    if entry.name.startswith(".") and not entry.name.startswith("._"):
        return printable(entry.name)
    ending = suffix(entry.name)
    is_word = 1 < len(ending) <= 8 and ending[1:].isalnum() and not ending[1:].isdecimal() and ending.isascii()
    return ending if is_word else "without a suffix"


def _count_ignored(plan: Plan, entry: Entry, where: str) -> None:
    """Count an ignored entry: an image by its place, anything else by its kind."""
    if entry.kind != FOLDER and _is_image(entry.name):
        plan.unused[where] += 1
    else:
        plan.not_pictures[_ignored_kind(entry)] += 1


def _count_pictures(plan: Plan, count: int, where: str) -> None:
    if count:
        plan.unused[where] += count


def _count_unused(plan: Plan, folder: str, below: str, used: set[str]) -> None:
    """Count everything outside of the folders used: files next to them, and folders that are not a split."""
    if below in used:
        return
    found = _look(posixpath.join(folder, below))
    _count_pictures(plan, found.images, "in no folder of a split")
    for entry in found.others:
        path = posixpath.join(below, entry.name)
        if any(one == path or one.startswith(f"{path}/") for one in used):
            _count_unused(plan, folder, path, used)
        elif _is_visible_folder(entry):
            for one in walk(folder, path, is_visible, _is_image):
                _count_ignored(plan, one, f"in {printable(path)}/")
        else:
            _count_ignored(plan, entry, "in no folder of a split")


@dataclass
class _ClassFolder:
    """A class folder.

    Attributes:
      images: number of images.
      direct: number of images directly in the folder.
      folders: names of the folders in it that hold files.
    """

    images: int = 0
    direct: int = 0
    folders: set[str] = field(default_factory=set)

    @property
    def holds_only_folders(self) -> bool:
        """Whether there are several folders and no images directly in this one."""
        return not self.direct and len(self.folders) > 1


def _list_classes(plan: Plan, folder: str, below: str, images: Spool[_Picture]) -> dict[str, _ClassFolder]:
    """List the images in `below`; count the entries that are not images.

    Args:
      plan: gets the counts.
      folder: the data folder.
      below: the folder of the class folders.
      images: gets the images.

    Returns:
      The class folders by name, sorted.

    Raises:
      DataError: If there is no class folder, one has no images, or its name is not UTF-8.
    """
    here = posixpath.join(folder, below) if below else folder
    found = _look(here)
    names = found.folders
    if not names:
        problem = f"{loose} pictures are directly in it" if (loose := found.all_images) else "it holds no folders"
        raise DataError(
            f"no class in {printable(here)}: {problem if loose or found.others else 'the folder is empty'}",
            hint="Put the pictures of each class into a folder of its own.",
        )
    _count_pictures(plan, found.images, "in no class folder")
    for entry in found.others:
        if entry.kind not in (FILE, FOLDER):  # this may be a class: a link to a disk that is not mounted
            plan.not_pictures[f"{printable(posixpath.join(below, entry.name))} ({entry.kind})"] += 1
        elif not _is_visible_folder(entry):
            _count_ignored(plan, entry, "in no class folder")
    for name in names:
        if to_utf8(name) != name:
            raise DataError(
                f"the folder '{printable(name)}' in {printable(here)} cannot be a class: its name is not UTF-8",
                hint="Rename it, for example with convmv -f latin1 -t utf8.",
            )
    return {name: _list_class(plan, folder, posixpath.join(below, name), images) for name in names}


def _list_class(plan: Plan, folder: str, below: str, images: Spool[_Picture]) -> _ClassFolder:
    """List the images of a class folder; count the entries that are not images.

    Raises:
      DataError: If there are no images.
    """
    found, start, label = _ClassFolder(), len(below) + 1, posixpath.basename(below)
    for entry in walk(folder, below, is_visible, _is_image):
        first, _, rest = entry.path[start:].partition("/")
        if rest:
            found.folders.add(first)
        if entry.kind in (FOLDER, CIRCLE) or not _is_image(rest[rest.rfind("/") + 1 :] or first):
            plan.not_pictures[_ignored_kind(entry)] += 1
            continue
        images.append((entry.path, label))  # if it is not a regular file, it is rejected when it is read
        found.images += 1
        found.direct += not rest
    if not found.images:
        here = posixpath.join(folder, below)
        raise DataError(
            f"class '{printable(label)}' has no pictures in {printable(here)}",
            hint=f"Add pictures ({', '.join(sorted(SUFFIXES))}) or remove the folder.",
        )
    return found


def _check_no_splits(folder: str, classes: Mapping[str, _ClassFolder]) -> None:
    """Check that the class folders are classes, and not splits or the parent of the classes.

    Raises:
      DataError: If a class holds folders named like splits, the only class holds several folders, or two classes hold
        folders of the same names.
    """
    for name, one in classes.items():
        groups = group_by_role(one.folders)
        if groups.get("train") and set(groups) > {"train"}:
            raise DataError(
                f"the folder '{printable(name)}' in {printable(folder)} holds the folders {_list_folders(one.folders)}:"
                " splits below a class",
                hint=f"Put the splits above the classes: {groups['train'][0]}/{name}. Or, if they are not splits:"
                " --set source.splits=none",
            )
    if len(classes) == 1:
        ((name, one),) = classes.items()
        if one.holds_only_folders:
            raise DataError(
                f"only one class, '{printable(name)}', in {printable(folder)}: it holds the folders"
                f" {_list_folders(one.folders)}",
                hint=f"Are these the classes? --data {printable(posixpath.join(folder, name))}",
            )
    _check_different_folders(folder, classes)


def _list_folders(names: Iterable[str]) -> str:
    return list_names([printable(name) for name in sorted(names)], 4)


def _check_different_folders(folder: str, classes: Mapping[str, _ClassFolder]) -> None:
    """Check that no two class folders hold folders of mostly the same names, as splits do.

    Raises:
      DataError: If two of them do.
    """
    nested = [(name, one.folders) for name, one in classes.items() if one.holds_only_folders][:_MAX_COMPARED]
    for (name, folders), (other, other_folders) in itertools.combinations(nested, 2):
        common = folders & other_folders
        if len(common) >= 2 and len(common) >= _MIN_OVERLAP * len(folders | other_folders):
            raise DataError(
                f"'{printable(name)}' and '{printable(other)}' in {printable(folder)} look like splits, not like"
                f" classes: both hold the folders {_list_folders(common)}",
                hint=f'Name the splits: --set source.splits="train={printable(name)},eval={printable(other)}"; or, if'
                " they are classes: --set source.splits=none",
            )
