"""Which folders and files are splits: one rule for all sources.

A name tells its split by a word: "train", "training", ... for training; "val", "validation", "dev", ... and "test",
"holdout", ... for evaluation. The word may stand anywhere in the name between separators, digits or capitals:
`training_set`, `seg_train`, `cifar10-test.tfrecord-00000-of-00001`, `TrainImages`. With both a validation and a test
part, the former is "eval" and the latter "test"; with one of them, it is "eval".

Names that hold such words and do not make a whole stop the run: it must not guess. `source.splits` says it then:
"train=FOLDER,eval=FOLDER", also with test=FOLDER; "train=FOLDER" alone takes that part and lets the content decide;
"none" says that no name is a split.
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
_ROLE = {word: role for role, words in _WORDS.items() for word in words}
_LONGEST_FIRST = "|".join(sorted(_ROLE, key=len, reverse=True))
# "trainset", "testimages": the word and what it is of, in one piece.
_WORD = re.compile(f"({_LONGEST_FIRST})(?:set|data|dataset|split|images?|imgs?|pictures?|photos?|files?|labels?)?s?")


@dataclass(frozen=True)
class SplitSource(Source):
    """A source whose folders or files may be splits.

    Attributes:
      splits: which folder (or file, `*` allowed) is which split, where the names do not tell: "train=A,eval=B",
        "train=A" or "none"; empty: the names tell. Paths are below the data folder.
    """

    splits: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.given()

    def given(self) -> dict[str, str] | None:
        """`splits` by split, empty for "none"; None where the names tell.

        Raises:
          UsageError: it is malformed.
        """
        if not self.splits.strip():
            return None
        if self.splits.strip().lower() == NONE:
            return {}
        found: dict[str, str] = {}
        for part in self.splits.split(","):
            split, mark, path = (one.strip() for one in part.partition("="))
            path = path.strip("/")
            if not mark or split not in SPLITS or not path or split in found or ".." in path.split("/"):
                raise UsageError(
                    f"source.splits='{self.splits}': '{part.strip()}' is not SPLIT=FOLDER", hint=_example("A", "B")
                )
            found[split] = path
        if "train" not in found or set(found) == {"train", "test"}:
            missing = "eval" if "train" in found else "train"
            raise UsageError(f"source.splits='{self.splits}' names no {missing}", hint=_example("A", "B"))
        if len(set(found.values())) < len(found):
            raise UsageError(f"source.splits='{self.splits}' names a folder twice", hint=_example("A", "B"))
        return {"": found["train"]} if set(found) == {"train"} else found


def _example(train: str, held_out: str) -> str:
    return f'Say which is which: --set source.splits="train={train},eval={held_out}"; "none": there are no splits.'


def words(name: str) -> list[tuple[str, str]]:
    """(word, role) of the words for splits in a name; "trainval" and "train_val" are one word, for training."""
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


def roles(names: Iterable[str]) -> dict[str, list[str]]:
    """The names that hold a split's word, by "train", "eval" and "test"; those that hold words of two under "both"."""
    found: dict[str, list[str]] = {}
    for name in names:
        held = {role for _, role in words(name)}
        if held:
            found.setdefault(held.pop() if len(held) == 1 else "both", []).append(name)
    return found


def chosen(found: Mapping[str, Sequence[str]], where: str) -> dict[str, str]:
    """One name for each split.

    Args:
      found: from `roles`.
      where: the folder that holds the names, for the message.

    Raises:
      DataError: no whole: a part without its other, or two names for one part.
    """
    for role in ("both", *SPLITS):
        names = found.get(role, ())
        if role == "both" and names:
            raise refusal(f"'{printable(names[0])}' in {printable(where)} is named after two splits", found)
        if len(names) > 1:
            part = {"train": "training", "eval": "validation", "test": "test"}[role]
            raise refusal(f"{_listed(names)} in {printable(where)} each look like the {part} split", found)
    train, held_out = found.get("train", ()), [*found.get("eval", ()), *found.get("test", ())]
    if not train:
        raise refusal(
            f"{_listed(held_out)} in {printable(where)} looks like a split, but no training part is beside", found
        )
    if not held_out:
        name = printable(train[0])
        raise DataError(
            f"'{name}' in {printable(where)} has no validation beside it",
            hint=f'To evaluate on a part of it: --set source.splits="train={name}". {_example(name, "FOLDER")}',
        )
    return dict(zip(SPLITS, (train[0], *held_out), strict=False))


def refusal(message: str, found: Mapping[str, Sequence[str]]) -> DataError:
    """The error that stops a run whose splits are not plain, with the way to say them."""
    train = min(found.get("train", ()), key=len, default="FOLDER")
    held_out = min((*found.get("eval", ()), *found.get("test", ())), key=len, default="FOLDER")
    return DataError(message, hint=_example(printable(train), printable(held_out)))


def _listed(names: Sequence[str]) -> str:
    shown = [f"'{printable(name)}'" for name in names[:4]]
    if len(names) > 4:
        return f"{', '.join(shown)} and {len(names) - 4} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def file_splits(files: Sequence[str], where: str) -> dict[str, list[str]]:
    """Files by the split that their names tell; all under "" where no name does.

    A word that all names share, as the data set's name in `speech_test-train.csv` and `speech_test-test.csv`, tells
    nothing apart and does not count.

    Raises:
      DataError: some names tell a split and others do not, they make no whole, or two words mean the same split.
    """
    told = {file: words(file) for file in files}
    if len(files) > 1:
        shared = set.intersection(*(set(found) for found in told.values()))
        if any(len({role for _, role in found}) > 1 for found in told.values()):
            told = {file: _less(found, shared) for file, found in told.items()}
    if not any(told.values()):
        return {"": list(files)}
    by_word: dict[str, list[str]] = {}  # a word stands for its files: `val` beside `validation` are two candidates
    found: dict[str, list[str]] = {}
    for file, held in told.items():
        held_roles = {role for _, role in held}
        if not held:
            continue
        key = held[0][0] if len(held_roles) == 1 else file
        role = held_roles.pop() if len(held_roles) == 1 else "both"
        if key not in by_word:
            found.setdefault(role, []).append(file)
        by_word.setdefault(key, []).append(file)
    strays = [file for file, held in told.items() if not held]
    if strays:
        named = next(iter(next(iter(found.values()))))
        raise DataError(
            f"{printable(strays[0])} in {printable(where)} belongs to no split, though other files do"
            f" ({printable(named)})",
            hint=f"Name it after its split, take it out of the folder, or: {_example('FILES*', 'FILES*')}",
        )
    splits = chosen(found, where)
    of = {file: key for key, some in by_word.items() for file in some}
    return {split: by_word[of[file]] for split, file in splits.items()}


def _less(found: list[tuple[str, str]], shared: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The words without the first occurrence of each shared one, unless nothing else is left."""
    rest = list(found)
    for one in shared:
        if len(rest) > 1:
            rest.remove(one)
    return rest


def matching(paths: Sequence[str], pattern: str) -> list[str]:
    """The paths that a given split means: the file itself, those in a folder, or those that fit `*`, `?` and `[]`."""
    return [
        path
        for path in paths
        if path == pattern or path.startswith(f"{pattern}/") or fnmatch.fnmatchcase(path, pattern)
    ]
