"""`skewless new`: what it finds, what it writes, and that what it writes runs."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import io
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as Picture
from rich.console import Console

from data.errors import DataError, UsageError
from pipeline.commands.new import new_task
from pipeline.paths import Paths
from pipeline.runners.local.data_folder import resolve_data_folder
from pipeline.scaffold.choose import choose_task, feature_size, filters, has_a_side, helps_pretrained, transfer_size
from pipeline.scaffold.survey import Survey, survey_folder
from tests.conftest import encode_picture, smooth_pixels
from tests.pipeline.conftest import Skewless
from tests.tasks.tiny import TASK

Make = Callable[..., Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, empty, on a machine without a network and without pretrained weights."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("pipeline.scaffold.pretrained.ADDRESS", "http://127.0.0.1:9/")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def write(name: str, data: Path, **options: str) -> tuple[str, str]:
    """What is printed and the source written; the source is as ruff would have it."""
    console = Console(file=io.StringIO(), width=200)
    source = new_task(name, str(data), console, **options).read_text()
    checks: list[list[str]] = [["format", "--check"], ["check", "--select", "E4,E7,E9,F,I,UP,B,D100,D103"]]
    for check in checks:
        command = [sys.executable, "-m", "ruff", *check, "--isolated", "--line-length", "120", f"{name}.py"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + source
    return console.file.getvalue(), source  # type: ignore[attr-defined]


def values(source: str) -> dict[str, str]:
    """Arguments of the calls in `TASK = Task(...)`, by dotted name, as source."""
    assign = ast.parse(source).body[-1]
    assert isinstance(assign, ast.Assign)
    found = {}
    for keyword in assign.value.keywords:  # type: ignore[attr-defined]
        found[keyword.arg] = ast.unparse(keyword.value)
        for inner in getattr(keyword.value, "keywords", []):
            found[f"{keyword.arg}.{inner.arg}"] = ast.unparse(inner.value)
    return found


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# What it finds


def test_horses_and_humans_as_pil_sees_them(shared_data: Path, here: Path) -> None:
    folder = shared_data / "horse-or-human"
    found = survey_folder(str(folder))
    pictures = {path: Picture.open(path) for path in folder.rglob("*.png")}
    counts = Counter(tuple(path.relative_to(folder).parts[:2]) for path in pictures)
    assert found.counts == {
        split: {name: counts[inner, name] for name in ("horses", "humans")}
        for split, inner in (("train", "training"), ("eval", "validation"))
    }
    assert Counter(found.sizes) == Counter(picture.size[::-1] for picture in pictures.values())
    assert {picture.mode for picture in pictures.values()} == {"RGBA"} and found.channels == {4: 761}
    assert found.formats == {"png": 761} and not found.is_grey and not found.see_through and not found.bad

    shown, source = write("horses", folder)
    for words in (
        "505 train from training/, 256 evaluation from validation/",
        "300x300 pixels",
        "PNG; colour, with an alpha channel (opaque)",
    ):
        assert words in shown and words in source
    told = values(source)
    assert told["feature"] == "Image(height=160, width=160, antialias=True)"
    assert told["data"] == repr(str(folder.resolve())) and told["evaluate.min_accuracy"] == "0.55"
    assert told["augment.horizontal_flip"] == "True"
    assert "pretrained weights would help, but" in shown and "--weights FILE" in shown
    assert told["model"].startswith("ConvNet(filters=(16, 32, 64, 128, 128), batch_norm=True, pooling='average'")
    assert "pretrained weights would help" not in write("horses_2", folder, weights="none")[0]


def test_the_split_by_content_is_foretold_as_a_run_makes_it(
    tmp_path: Path, picture_folder: Make, read_all: Callable[..., dict]
) -> None:
    from data.ingest.shards import assign_split
    from data.spec import Classes, Image

    folder = picture_folder(tmp_path / "data", {"cats": 31, "dogs": 17, ".hidden": 2})
    read = read_all(TASK.source, folder, Image(8, 8), Classes())[""]
    expected = Counter((assign_split(one.digest, {"train": 4, "eval": 1}), one.labels[0]) for one in read)
    found = survey_folder(str(folder)).split
    assert Counter({(split, name): n for split, names in found.items() for name, n in names.items()}) == expected


def test_only_a_sample_is_looked_at_and_every_class_is_in_it(
    tmp_path: Path, picture_folder: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = picture_folder(tmp_path, {"cats": 60, "dogs": 10})
    monkeypatch.setattr("pipeline.scaffold.survey.PER_CLASS", 20)
    found = survey_folder(str(folder))
    assert found.looked_at == 30 and found.total == 70
    assert found.split["train"]["cats"] == 48 and found.split["eval"]["cats"] == 12  # in proportion
    monkeypatch.setattr("pipeline.scaffold.survey.MAX_BYTES", 1)
    assert found.looked_at > survey_folder(str(folder)).looked_at >= 16


def test_grey_pictures_are_grey_however_they_are_stored(tmp_path: Path, here: Path) -> None:
    for number in range(24):
        grey = smooth_pixels(number, 28, 28).mean(axis=2).astype(np.uint8)
        pixels = grey if number % 2 else np.repeat(grey[..., np.newaxis], 3, axis=2)
        path = tmp_path / "data" / "ab"[number % 4 // 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_picture(pixels, ("PNG", "JPEG")[number % 3 == 0]))
    shown, source = write("letters", tmp_path / "data")
    assert "grey, stored as colour" in shown
    told = values(source)
    assert told["feature"] == "Image(height=28, width=28, channels=1)"
    assert "augment.rotation_range" in told and "augment.horizontal_flip" not in told  # letters have a side
    assert "mirror" not in shown and "pretrained" not in shown


def test_what_is_odd_is_told(tmp_path: Path, picture_folder: Make, here: Path) -> None:
    folder = picture_folder(
        tmp_path / "data", {"train/cats": 40, "train/dogs": 8, "train/cows": 30, "val/cats": 6, "val/cows": 2}
    )
    (folder / "train" / "cats" / "torn.jpg").write_bytes(encode_picture(smooth_pixels(1), "JPEG")[:300])
    (folder / "train" / "cats" / "page.webp").write_bytes(b"RIFF")
    (folder / "train" / "cats" / "notes.txt").touch()
    exif = Picture.Exif()
    exif[0x0112] = 6
    (folder / "train" / "dogs" / "turned.jpg").write_bytes(encode_picture(smooth_pixels(2), "JPEG", exif=exif))
    clear = np.dstack([smooth_pixels(3, 40, 20), np.zeros((40, 20), np.uint8)])
    (folder / "train" / "dogs" / "clear.png").write_bytes(encode_picture(clear, "PNG"))
    deep = np.arange(400, dtype=np.uint16).reshape(20, 20)
    (folder / "train" / "dogs" / "deep.png").write_bytes(encode_picture(deep, "PNG"))
    shown, source = write("pets", folder)
    for words in (
        "2 cannot be decoded",
        "1 of the decoded pictures have 16 bits a channel and nearly one colour in the upper 8",
        "runs leave out pictures that cannot be decoded: train/cats/",
        "and 1 more",
        '1 of the decoded pictures carry an EXIF rotation: orientation="exif" turns them, also in serving',
        "with transparent parts",
        "the pictures have different shapes; all are stretched to",
        "fit='pad' or 'crop' keeps their shape",
        'transparent parts become white, also in serving: background="white"',
        'the class sizes differ a lot: training gives each class the same weight (class_weight="balanced")',
        "fewer than 20 training pictures: dogs",
        "no picture for evaluation: dogs",
        "1 .txt",
        "width / height 0.50 to ",
    ):
        assert words in shown, (words, shown)
    assert "runs stop if" not in shown
    assert "background='white'" in values(source)["feature"]
    assert "orientation='exif'" in values(source)["feature"]
    for number in range(3):
        (folder / "train" / "dogs" / f"{number}.gif").write_bytes(b"GIF89a")
    assert "runs stop if more than 5% are broken" in write("pets_2", folder)[0]
    assert "A model that always answers one class reaches 50.0 %" in source
    assert values(source)["evaluate"] == "Evaluate(minimum={'balanced_accuracy': 0.55})"
    assert values(source)["train.class_weight"] == "'balanced'"


def test_of_many_classes_the_largest_and_smallest_are_shown(tmp_path: Path, picture_folder: Make, here: Path) -> None:
    shown, source = write("many", picture_folder(tmp_path / "data", {f"class [{n}]": 40 - n for n in range(30)}))
    assert "class [0]" in shown and "class [29]" in shown and "... 10 more" in shown and "class [20]" not in shown
    assert values(source)["model.dense"] == "128" and "Pictures of 30 classes: class [0]" in source


# What it chooses


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 3, (28, 28)),
        ([(45, 60)] * 3, (45, 60)),
        ([(5, 6)] * 3, (8, 8)),
        ([(30, 32), (31, 29), (28, 30)], (32, 32)),
        ([(100, 100)] * 3, (96, 96)),
        ([(300, 300)] * 3, (160, 160)),
        ([(480, 640), (481, 640), (960, 1280)], (128, 160)),  # one shape: 120x160, to multiples of 16
        ([(480, 640), (640, 480), (600, 600)], (160, 160)),  # many shapes: a square
        ([(10, 4000)] * 3, (8, 160)),
    ],
)
def test_the_size_for_the_model(sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    assert feature_size(np.array(sizes)) == expected


def test_the_blocks_leave_something_to_look_at() -> None:
    for side in range(8, 161):
        left = side >> len(filters(side))
        assert left >= 4 and (len(filters(side)) == 5 or left < 8), side


@pytest.mark.parametrize(
    ("name", "expected"),
    [("7", True), ("A", True), ("left", True), ("arrow_right", True), ("class 3", True), ("seven", True)]
    + [("letters", True), ("horses", False), ("n01440764", False), ("brightness", False), ("stone", False)],
)
def test_what_has_a_side_is_not_mirrored(name: str, expected: bool) -> None:
    assert has_a_side(name) == expected


@pytest.mark.parametrize(("cats", "dogs"), [(50, 50), (95, 5), (2, 998)])
def test_who_knows_the_largest_class_only_is_below_the_limit(cats: int, dogs: int, tmp_path: Path) -> None:
    found = look_like({"train": {"cats": 50, "dogs": 50}, "eval": {"cats": cats, "dogs": dogs}})
    share = max(cats, dogs) / (cats + dogs)
    assert share < choose_task(found).minimum <= share + 0.0501 and choose_task(found).minimum < 1


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 3, (96, 96)),
        ([(45, 60)] * 3, (96, 128)),
        ([(300, 300)] * 3, (224, 224)),
        ([(150, 150)] * 3, (144, 144)),
        ([(480, 640), (481, 640), (960, 1280)], (176, 224)),  # one shape: 168x224, to multiples of 16
        ([(10, 4000)] * 3, (96, 224)),
    ],
)
def test_the_size_for_pretrained_weights(sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    assert transfer_size(np.array(sizes)) == expected


def test_pretrained_weights_are_for_photographs_and_for_few_small_colour_pictures() -> None:
    def helps(size: int, pictures: int, is_grey: bool) -> bool:
        counts = {"a b": pictures // 2, "c d": pictures // 2}
        found = look_like({"train": counts, "eval": counts})
        return helps_pretrained(dataclasses.replace(found, sizes=[(size, size)], is_grey=is_grey))

    assert helps(300, 50_000, False) and helps(300, 100, True) and helps(32, 1000, False)
    assert not helps(32, 5000, False) and not helps(28, 1000, True)


@pytest.mark.parametrize(("cats", "is_even"), [(100, True), (299, True), (300, False)])
def test_classes_that_differ_a_lot_weigh_the_same(cats: int, is_even: bool) -> None:
    counts = {"cats": cats, "dogs": 100, "cows": 100}
    choice = choose_task(look_like({"train": counts, "eval": counts}))
    assert choice.balanced != is_even
    assert choice.share == pytest.approx(cats / (cats + 200) if is_even else 1 / 3)


def test_more_pictures_are_seen_fewer_times_and_not_augmented() -> None:
    choices = [
        choose_task(look_like({"train": {"a b": n, "c d": n}, "eval": {"a b": n, "c d": n}}))
        for n in (100, 1000, 50_000)
    ]
    assert [choice.epochs for choice in choices] == [30, 30, 5]
    assert [choice.batch_size for choice in choices] == [16, 32, 128]
    assert [choice.augment for choice in choices] == [True, True, False]


def look_like(counts: dict[str, dict[str, int]]) -> Survey:
    return Survey("data", counts, {split: Counter(names) for split, names in counts.items()}, sizes=[(32, 32)])


# What it refuses


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "the folder is empty"),
        ({"cats": 9}, "only one class, 'cats', in {data}: a classifier needs two"),
        ({"cats": 9, "dogs": 0}, "class 'dogs' has no pictures"),
        ({"cats": 9, "dogs": 1}, "class 'dogs' has one picture, but training and evaluation need one each"),
        ({"train/cats": 9, "train/dogs": 9, "val/cats": 9}, "only class 'cats' in {data} is for evaluation"),
        ({"train/cats": 9, "train/dogs": 9, "val/cows": 9}, "class 'cows' has no folder for training"),
    ],
)
def test_folders_that_nothing_can_be_learned_from(
    counts: dict[str, int], words: str, tmp_path: Path, picture_folder: Make, here: Path
) -> None:
    (tmp_path / "data").mkdir()
    folder = picture_folder(tmp_path / "data", counts)
    with pytest.raises(DataError) as caught:
        new_task("my_task", str(folder))
    assert words.format(data=folder) in str(caught.value) and caught.value.hint
    assert list(here.iterdir()) == []


def test_no_folder_and_nothing_that_decodes(tmp_path: Path, picture_folder: Make, here: Path) -> None:
    with pytest.raises(DataError, match="no data folder at "):
        new_task("my_task", str(tmp_path / "none"))
    folder = picture_folder(tmp_path / "data", {"cats": 12, "dogs": 12})
    for path in (folder / "dogs").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 12 pictures of class 'dogs' can be decoded"):
        new_task("my_task", str(folder))
    for path in (folder / "cats").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of 24 pictures in .* can be decoded; \w+/\d+.\w+: not decodable: "):
        new_task("my_task", str(folder))


def test_a_class_whose_content_keeps_all_of_it_from_training(tmp_path: Path, picture_folder: Make, here: Path) -> None:
    from data.records import digest

    folder = picture_folder(tmp_path / "data", {"cats": 40, "dogs": 40})
    for path in (folder / "dogs").iterdir():
        if digest(path.read_bytes()) % 5 < 4:
            path.unlink()
    with pytest.raises(DataError, match=r"class 'dogs' has \d+ pictures, and none of them is for training") as caught:
        new_task("my_task", str(folder))
    assert "make folders train/CLASS and validation/CLASS" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my-task", "'my-task' cannot be the name of a Python module"),
        ("1st", "cannot be"),
        ("class", "cannot be"),
        ("blüte", "cannot be"),
        ("../up", "cannot be"),
        ("digits", "'digits' is a built-in task"),
        ("random", "'random' is the name of another module: Python's own"),
        ("numpy", "'numpy' is the name of another module: "),
        ("google", "'google' is the name of another module: "),  # a namespace: a file would hide all below it
        ("pipeline", "'pipeline' is the name of another module: "),
    ],
)
def test_names_that_are_taken_or_none(name: str, words: str, here: Path) -> None:
    with pytest.raises(UsageError) as caught:
        new_task(name, str(here))
    assert words in str(caught.value) and caught.value.hint
    assert list(here.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, picture_folder: Make, here: Path) -> None:
    folder = picture_folder(here / "pets", {"cats": 20, "dogs": 20})  # a plain folder of that name is in nobody's way
    source = write("pets", folder)[1]
    (here / "pets.py").write_text(f"{source}# mine\n")
    with pytest.raises(UsageError, match="pets.py already exists and is not overwritten"):
        new_task("pets", str(folder))
    assert (here / "pets.py").read_text().endswith("# mine\n")


def test_names_of_folders_are_no_code(tmp_path: Path, picture_folder: Make, here: Path) -> None:
    evil = ["c\\", '{{ 1 }}"', 'a"""\nraise SystemExit(1)\n"""', "b'\nraise SystemExit(1)"]
    counts = {f"{name}": 12 + 9 * number for number, name in enumerate(evil)}
    folder = picture_folder(tmp_path / 'it\'s "here"\nraise SystemExit(1)', counts)
    source = write("my_task", folder)[1]
    assert ast.literal_eval(values(source)["data"]) == str(folder)
    assert [type(node).__name__ for node in ast.parse(source).body] == [*["Expr", "ImportFrom", "ImportFrom", "Assign"]]


# What it writes, run


def test_the_data_of_a_task_are_those_given_then_those_it_names(tmp_path: Path) -> None:
    for name in ("given", "named"):
        (tmp_path / name).mkdir()
    paths, task = Paths(str(tmp_path), "tiny"), dataclasses.replace(TASK, data=str(tmp_path / "named"))
    assert resolve_data_folder(task, str(tmp_path / "given"), paths) == str(tmp_path / "given")
    assert resolve_data_folder(task, None, paths) == str(tmp_path / "named")
    (tmp_path / "named").rmdir()
    with pytest.raises(DataError, match="no data folder at .*/named"):
        resolve_data_folder(task, None, paths)


def test_what_an_interrupted_fetch_left_is_there_for_the_next(tmp_path: Path) -> None:
    def fetch(folder: str) -> None:
        with Path(folder, "half").open("a") as file:
            file.write("half")
        if Path(folder, "half").read_text() == "half":
            raise DataError("no network")

    paths, task = Paths(str(tmp_path), "tiny"), dataclasses.replace(TASK, fetch=fetch)
    with pytest.raises(DataError, match="no network"):
        resolve_data_folder(task, None, paths)
    assert not Path(paths.data).exists()
    assert Path(resolve_data_folder(task, None, paths), "half").read_text() == "halfhalf"


def make_bright_or_dark(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 100)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(low, low + 150, (12, 12, 3), np.uint8)
            (folder / name / f"{number}.png").write_bytes(encode_picture(pixels, "PNG"))
    return folder


@pytest.mark.slow
def test_a_new_task_runs_as_it_is_to_a_pushed_model(here: Path, tmp_path: Path, skewless: Skewless) -> None:
    make_bright_or_dark(here / "photos", 1300)
    told = skewless("new", "light", "--data", "photos", cwd=here)
    assert told.status == 0, told.err
    assert "2,600 pictures of 2 classes" in told.out and "skewless run light" in told.out
    outcome = skewless("run", "light", "--set", "train.epochs=2", root=tmp_path / "root", task="light", cwd=here)
    assert outcome.status == 0, outcome.err
    overall = outcome.record["evaluation"]["slices"]["overall"]
    assert overall["sparse_categorical_accuracy"] > 0.9
    counts = outcome.record["data"]["examples"]
    assert sum(counts.values()) == 2600 and counts["train"] == pytest.approx(0.8 * 2600, rel=0.05)
    again = skewless("new", "light", "--data", "photos", cwd=here)
    assert again.status == 2 and "not overwritten" in again.err


@pytest.mark.parametrize("names", [("cats", "dogs"), ("6", "9")])
def test_a_module_for_few_pictures_augments_them(
    names: tuple[str, str], tmp_path: Path, picture_folder: Make, here: Path
) -> None:
    write("few", picture_folder(tmp_path / "data", dict.fromkeys(names, 30)))
    task = load(here / "few.py").TASK
    assert task.augment.rotation_range == 15 and task.augment.horizontal_flip == (names == ("cats", "dogs"))
    model = task.model(task.feature, 2)
    assert model.output_shape == (None, 1) and model.input_shape == (None, *task.feature.shape)
