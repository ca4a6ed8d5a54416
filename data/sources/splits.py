"""Recognise splits by the names of folders and files: one rule for all sources.

A name shows its split by a word: "train", "training", ... for training; "val", "validation", "dev", ... and "test",
"holdout", ... for evaluation. The word may be anywhere in the name, between separators, digits or capitals:
`training_set`, `seg_train`, `cifar10-test.tfrecord-00000-of-00001`, `TrainImages`. If there is both a validation and a
test part, they are "eval" and "test"; if there is only one of them, it is "eval".

If names contain such words but do not form complete splits, the run stops instead of guessing. The user then sets
`source.splits`: "train=FOLDER,eval=FOLDER", optionally with test=FOLDER; "train=FOLDER" alone reads that part and lets
the content decide the split; "none" means that no name is a split.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.errors import DataError, UsageError
from data.names import printable
from data.sources.base import Source

NONE = "none"
SPLITS = ("train", "eval", "test")
_WORDS = {
    "train": ("train", "training", "trainval", "trn"),
    "eval": (
        "eval",
        "evaluation",
        "val",
        "valid",
        "validation",
        "validate",
        "validating",
        "dev",
        "devel",
        "development",
    ),
    "test": ("test", "testing", "tests", "tst", "holdout", "heldout"),
}
_ROLE = {word: role for role, split_words in _WORDS.items() for word in split_words}
_LONGEST_FIRST = "|".join(sorted(_ROLE, key=len, reverse=True))
# "trainset", "testimages": the word and what it is a set of, written as one word.
_WORD = re.compile(f"({_LONGEST_FIRST})(?:set|data|dataset|split|images?|imgs?|pictures?|photos?|files?|labels?)?s?")


@dataclass(frozen=True)
class SplitSource(Source):
    """A source whose folders or files may be splits.

    Attributes:
      splits: the folder (or file; `*` is allowed) of each split, if the names do not show it: "train=A,eval=B",
        "train=A" or "none"; empty: the names decide. Paths are below the data folder.
    """

    splits: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.explicit_splits()

    def explicit_splits(self) -> dict[str, str] | None:
        """Return the folders of `splits` by split: empty for "none", and None if the names decide.

        Raises:
          UsageError: If `splits` is malformed.
        """
        if not self.splits.strip():
            return None
        if self.splits.strip().lower() == NONE:
            return {}
        folders: dict[str, str] = {}
        for part in self.splits.split(","):
            split, mark, path = (one.strip() for one in part.partition("="))
            path = path.strip("/")
            if not mark or split not in SPLITS or not path or split in folders or ".." in path.split("/"):
                raise UsageError(
                    f"source.splits='{self.splits}': '{part.strip()}' is not SPLIT=FOLDER", hint=_splits_hint("A", "B")
                )
            folders[split] = path
        if "train" not in folders or set(folders) == {"train", "test"}:
            missing = "eval" if "train" in folders else "train"
            raise UsageError(f"source.splits='{self.splits}' has no {missing}=FOLDER", hint=_splits_hint("A", "B"))
        if len(set(folders.values())) < len(folders):
            raise UsageError(f"source.splits='{self.splits}' names a folder twice", hint=_splits_hint("A", "B"))
        return {"": folders["train"]} if set(folders) == {"train"} else folders


def _splits_hint(train: str, held_out: str) -> str:
    return f'Name the splits: --set source.splits="train={train},eval={held_out}"; or "none" if there are no splits.'


def split_words(name: str) -> list[tuple[str, str]]:
    """Return the words for splits in a name, each with its role: "train", "eval" or "test".

    "trainval" and "train_val" are one word, for training.
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    parts = [part for part in re.split(r"[^a-z]+", spaced.lower()) if part]
    found: list[tuple[str, str]] = []
    for index, part in enumerate(parts):
        if part in ("hold", "held") and parts[index + 1 : index + 2] == ["out"]:
            part = f"{part}out"
        match = _WORD.fullmatch(part)
        if not match:
            continue
        if part == "val" and index and parts[index - 1] == "train":
            found[-1] = ("trainval", "train")
        else:
            found.append((match[1], _ROLE[match[1]]))
    return found


def group_by_role(names: Iterable[str]) -> dict[str, list[str]]:
    """Group the names that contain a word for a split by its role: "train", "eval" or "test".

    Names with words for two roles are under "both"; names without such a word are left out.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        roles = {role for _, role in split_words(name)}
        if roles:
            groups.setdefault(roles.pop() if len(roles) == 1 else "both", []).append(name)
    return groups


def choose_splits(groups: Mapping[str, Sequence[str]], where: str) -> dict[str, str]:
    """Choose one name for each split.

    Args:
      groups: names by role, from `group_by_role`.
      where: the folder that holds the names, for messages.

    Returns:
      The name of "train", of "eval", and perhaps of "test".

    Raises:
      DataError: If a part is missing, or two names are candidates for one part.
    """
    for role in ("both", *SPLITS):
        names = groups.get(role, ())
        if role == "both" and names:
            raise ambiguous_splits(f"'{printable(names[0])}' in {printable(where)} is named after two splits", groups)
        if len(names) > 1:
            part = {"train": "training", "eval": "validation", "test": "test"}[role]
            raise ambiguous_splits(
                f"{_join_names(names)} in {printable(where)} each look like the {part} split", groups
            )
    train, held_out = groups.get("train", ()), [*groups.get("eval", ()), *groups.get("test", ())]
    if not train:
        looks = "looks like a split" if len(held_out) == 1 else "look like splits"
        raise ambiguous_splits(
            f"{_join_names(held_out)} in {printable(where)} {looks}, but there is no training part", groups
        )
    if not held_out:
        name = printable(train[0])
        raise DataError(
            f"'{name}' in {printable(where)} looks like a split, but there is no validation part",
            hint=f'To evaluate on a part of it: --set source.splits="train={name}". {_splits_hint(name, "FOLDER")}',
        )
    return dict(zip(SPLITS, (train[0], *held_out), strict=False))


def ambiguous_splits(message: str, groups: Mapping[str, Sequence[str]]) -> DataError:
    """Return the error for ambiguous splits; its hint shows how to name them with `source.splits`."""
    train = min(groups.get("train", ()), key=len, default="FOLDER")
    held_out = min((*groups.get("eval", ()), *groups.get("test", ())), key=len, default="FOLDER")
    return DataError(message, hint=_splits_hint(printable(train), printable(held_out)))


def _join_names(names: Sequence[str]) -> str:
    quoted = [f"'{printable(name)}'" for name in names[:4]]
    if len(names) > 4:
        return f"{', '.join(quoted)} and {len(names) - 4} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


def group_files_by_split(files: Sequence[str], where: str) -> dict[str, list[str]]:
    """Group files by the split that their names show; all are under "" if no name shows one.

    A word that all names share does not count: it is part of the data set's name, as "test" in
    `speech_test-train.csv` and `speech_test-test.csv`.

    Args:
      files: names of files.
      where: their folder, for messages.

    Raises:
      DataError: If only some names show a split, a part is missing, or two words mean the same split.
    """
    words_of = _distinct_words(files)
    if not any(words_of.values()):
        return {"": list(files)}
    by_word: dict[str, list[str]] = {}  # a word stands for its files: `val` and `validation` are two candidates
    groups: dict[str, list[str]] = {}
    for file, found in words_of.items():
        if not found:
            continue
        roles = {role for _, role in found}
        word, role = (found[0][0], roles.pop()) if len(roles) == 1 else (file, "both")
        if word not in by_word:
            groups.setdefault(role, []).append(file)
        by_word.setdefault(word, []).append(file)
    unmatched = [file for file, found in words_of.items() if not found]
    if unmatched:
        named = next(iter(next(iter(groups.values()))))
        raise DataError(
            f"the name of {printable(unmatched[0])} in {printable(where)} shows no split, but other names do"
            f" ({printable(named)})",
            hint=f"Put the split into its name, move it out of the folder, or: {_splits_hint('FILES*', 'FILES*')}",
        )
    splits = choose_splits(groups, where)
    word_of = {file: word for word, group in by_word.items() for file in group}
    return {split: by_word[word_of[file]] for split, file in splits.items()}


def _distinct_words(files: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the words for splits in each name, without those that all names share if some name has several."""
    words_of = {file: split_words(file) for file in files}
    if len(files) > 1:
        shared = set.intersection(*(set(found) for found in words_of.values()))
        if any(len({role for _, role in found}) > 1 for found in words_of.values()):
            return {file: _drop_shared(found, shared) for file, found in words_of.items()}
    return words_of


def _drop_shared(found: list[tuple[str, str]], shared: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the words without the first occurrence of each shared one, but keep at least one word."""
    rest = list(found)
    for word in shared:
        if len(rest) > 1:
            rest.remove(word)
    return rest


def match_paths(paths: Sequence[str], pattern: str) -> list[str]:
    """Return the paths that match a pattern: the file itself, the files of a folder, or a `*`, `?`, `[]` pattern."""
    return [
        path
        for path in paths
        if path == pattern or path.startswith(f"{pattern}/") or fnmatch.fnmatchcase(path, pattern)
    ]
