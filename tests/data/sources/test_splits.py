"""Which folders and files are splits, in the layouts of archives that people download."""

from __future__ import annotations

import io

import pytest
import tensorflow as tf
from PIL import Image as Pil

from data.errors import DataError, UsageError
from data.sources import Csv, ImageFolder, TFRecords
from data.sources.splits import group_by_role, group_files_by_split, split_words
from data.spec import Image, Vector

FEATURE = Image(4, 4)


@pytest.fixture(scope="module")
def png() -> bytes:
    out = io.BytesIO()
    Pil.new("RGB", (4, 4), "red").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def tree(tmp_path, png):
    """Makes a folder with a picture under each of the names."""

    def make(*names: str):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png)
        return str(tmp_path)

    return make


def both(*splits: str, classes: tuple[str, ...] = ("cats", "dogs")) -> list[str]:
    return [f"{split}/{name}/1.png" for split in splits for name in classes]


def planned(folder: str, splits: str = "") -> dict[str, list[str]]:
    """Paths by split."""
    source = ImageFolder(splits=splits)
    plan = source.plan(folder, FEATURE)
    assert source.split_names(folder) == set(plan.splits)
    return {split: sorted(path for path, _ in items) for split, items in plan.splits.items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", {"train"}),
        ("Training Set", {"train"}),
        ("seg_train", {"train"}),
        ("train2017", {"train"}),
        ("TrainImages", {"train"}),
        ("trainval", {"train"}),
        ("cifar10-train.tfrecord-00000-of-00001", {"train"}),
        ("sales_train_validation.csv", {"train", "eval"}),
        ("val", {"eval"}),
        ("VALID", {"eval"}),
        ("my-dev-set", {"eval"}),
        ("evaluation", {"eval"}),
        ("test1", {"test"}),
        ("testset", {"test"}),
        ("hold_out", {"test"}),
        ("holdout", {"test"}),
        ("cats", set()),
        ("trains", {"train"}),
        ("strain", set()),
        ("constraint", set()),
        ("testament", set()),
        ("invalid", set()),
        ("contest", set()),
        ("valley", set()),
    ],
)
def test_the_words_in_a_name(name, expected):
    assert {role for _, role in split_words(name)} == expected


@pytest.mark.parametrize(
    ("train", "held_out", "test"),
    [
        ("training_set", "test_set", None),
        ("cats_vs_dogs_train", "cats_vs_dogs_valid", None),
        ("Train", "Val", "Test"),
        ("1-training", "2-validation", "3-holdout"),
        ("train", "dev", "test"),
        ("TrainData", "TestData", None),
    ],
)
def test_folders_for_the_splits(train, held_out, test, tree):
    folders = [one for one in (train, held_out, test) if one]
    found = planned(tree(*both(*folders)))
    assert found == {
        split: sorted(both(folder)) for split, folder in zip(("train", "eval", "test"), folders, strict=False)
    }


def test_nested_once_more_as_archives_do(tree):
    # Intel's scenes: the test pictures for the competition have no class.
    folder = tree(
        *both("seg_train/seg_train", "seg_test/seg_test", classes=("sea", "street")), "seg_pred/seg_pred/1.png"
    )
    plan = ImageFolder().plan(folder, FEATURE)
    assert plan.layout == {"train": "seg_train/seg_train", "eval": "seg_test/seg_test"}
    assert plan.classes == {"sea", "street"} and plan.unused == {"in seg_pred/": 1}


def test_the_folder_of_the_archive(tree):
    folder = tree(*both("cats_and_dogs_filtered/train", "cats_and_dogs_filtered/validation"), "__MACOSX/._x")
    assert ImageFolder().plan(folder, FEATURE).layout == {
        "train": "cats_and_dogs_filtered/train",
        "eval": "cats_and_dogs_filtered/validation",
    }


def test_an_archive_that_holds_itself_once_more(tree):
    # chest_xray of Kaggle
    folder = tree(*both("train", "val", "test"), *both("chest_xray/train", "chest_xray/val", "chest_xray/test"))
    plan = ImageFolder().plan(folder, FEATURE)
    assert plan.layout == {"train": "train", "eval": "val", "test": "test"} and plan.unused == {"in chest_xray/": 6}


def test_a_test_set_without_labels_is_passed_over(tree):
    plan = ImageFolder().plan(tree(*both("train", "valid"), "test/1.png", "test/2.png"), FEATURE)
    assert plan.layout == {"train": "train", "eval": "valid"} and plan.unused == {"in test/": 2}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (both("train"), ["'train' in ", "no validation part"]),
        (both("validation"), ["'validation'", "no training part"]),
        ([*both("train"), "test1/1.png"], ["no validation part", "'test1' holds no folder for each class"]),
        (both("train", "training", "val"), ["'train' and 'training'", "each look like the training split"]),
        (both("train", "validation", "more_train"), ["'more_train' and 'train'", "training split"]),
        (both("train", "val", "valid"), ["'val' and 'valid'", "validation split"]),
        (both("train", "test_train"), ["'test_train'", "named after two splits"]),
        (["train/1.png", "test/1.png"], ["looks like a split, but holds no folder for each class"]),
        (["valid/1.png", "invalid/1.png"], ["'valid'", "looks like a split"]),
        (both("A", "B"), ["'A' and 'B'", "look like splits", "cats, dogs"]),
        ([*both("A", "B"), "A/birds/1.png"], ["'A' and 'B'", "look like splits"]),
        (["cats/train/1.png", "cats/test/1.png", "dogs/train/1.png"], ["'cats'", "holds the folders test, train"]),
        (both("flower_photos", classes=("daisy", "rose")), ["it holds the folders daisy, rose"]),
    ],
)
def test_ambiguous_splits_are_an_error_with_a_hint(names, said, tree):
    folder = tree(*names)
    with pytest.raises(DataError) as raised:
        ImageFolder().plan(folder, FEATURE)
    assert all(part in str(raised.value) for part in said), str(raised.value)
    hint = raised.value.hint
    assert "source.splits" in hint or f"--data {folder}/flower_photos" in hint


def test_a_class_named_like_a_split_is_a_class_and_noted(tree):
    # CIFAR-100 has trains, laboratories have test tubes.
    plan = ImageFolder().plan(tree("bus/1.png", "car/1.png", "train/1.png"), FEATURE)
    assert plan.classes == {"bus", "car", "train"} and set(plan.splits) == {""}
    assert plan.notes == ["'train' is read as a class, despite its name: it holds pictures"]


def test_pictures_in_folders_below_a_class_are_no_splits(tree):
    plan = ImageFolder().plan(tree("cats/2019/1.png", "cats/2020/1.png", "dogs/2020/1.png"), FEATURE)
    assert plan.classes == {"cats", "dogs"}


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ("train=A,eval=B", {"train": "A", "eval": "B"}),
        (" train=A , eval=B/ ,test=C", {"train": "A", "eval": "B", "test": "C"}),
        ("train=A", {"": "A"}),
    ],
)
def test_splits_that_are_given(splits, expected, tree):
    folder = tree(*both("A", "B", "C"))
    assert planned(folder, splits) == {split: sorted(both(name)) for split, name in expected.items()}


def test_no_splits_at_all(tree):
    folder = tree("cats/train/1.png", "cats/test/1.png", "dogs/train/1.png", "train/1.png")
    plan = ImageFolder(splits="none").plan(folder, FEATURE)
    assert plan.classes == {"cats", "dogs", "train"} and set(plan.splits) == {""}


@pytest.mark.parametrize(
    "splits", ["A", "train", "train=", "train=A,dev=B", "eval=B", "train=A,test=B", "train=A,eval=A", "train=../A"]
)
def test_splits_that_are_malformed(splits):
    with pytest.raises(UsageError, match="source.splits"):
        ImageFolder(splits=splits)


def test_a_split_that_is_not_there(tree):
    with pytest.raises(DataError, match="no data folder at .*/C"):
        ImageFolder(splits="train=A,eval=C").plan(tree(*both("A", "B")), FEATURE)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.csv", "b.csv"], {"": ["a.csv", "b.csv"]}),
        (["x-train.csv", "x-test.csv"], {"train": ["x-train.csv"], "eval": ["x-test.csv"]}),
        (
            ["c-train.tfrecord-00000-of-00002", "c-train.tfrecord-00001-of-00002", "c-test.tfrecord-00000-of-00001"],
            {
                "train": ["c-train.tfrecord-00000-of-00002", "c-train.tfrecord-00001-of-00002"],
                "eval": ["c-test.tfrecord-00000-of-00001"],
            },
        ),
        # A word that all share is the data set's name.
        (["my_test-train.csv", "my_test-test.csv"], {"train": ["my_test-train.csv"], "eval": ["my_test-test.csv"]}),
    ],
)
def test_files_by_their_names(files, expected):
    assert group_files_by_split(files, "DIR") == expected


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["train.csv"], "'train.csv' in DIR looks like a split, but there is no validation part"),
        (["x-train.csv", "extra.csv", "x-test.csv"], "the name of extra.csv in DIR shows no split"),
        (["train.csv", "val.csv", "validation.csv"], "each look like the validation split"),
        (["x_test_train.csv", "y.csv"], "the name of y.csv in DIR shows no split"),
    ],
)
def test_ambiguous_files_are_an_error(files, said):
    with pytest.raises(DataError) as raised:
        group_files_by_split(files, "DIR")
    assert said in str(raised.value) and "source.splits" in raised.value.hint


def write(path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(count):
            writer.write(b"")


def test_every_data_set_of_tfds(tmp_path):
    write(tmp_path / "cifar10-train.tfrecord-00000-of-00001", 80)
    write(tmp_path / "cifar10-test.tfrecord-00000-of-00001", 20)
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "label.labels.txt").write_text("airplane\n")
    plan = TFRecords().plan(str(tmp_path), FEATURE)
    assert {split: sum(len(some) for _, some in items) for split, items in plan.splits.items()} == {
        "train": 80,
        "eval": 20,
    }
    assert plan.layout == {
        "train": "cifar10-train.tfrecord-00000-of-00001",
        "eval": "cifar10-test.tfrecord-00000-of-00001",
    }


def test_files_that_are_given(tmp_path):
    for name in ("part-a-1.tfrecord", "part-a-2.tfrecord", "deep/b.tfrecord"):
        write(tmp_path / name, 3)
    plan = TFRecords(splits="train=part-a-*,eval=deep").plan(str(tmp_path), FEATURE)
    assert {split: [name for name, _ in items] for split, items in plan.splits.items()} == {
        "train": ["part-a-1.tfrecord", "part-a-2.tfrecord"],
        "eval": ["deep/b.tfrecord"],
    }
    with pytest.raises(DataError, match="matches 'gone' "):
        TFRecords(splits="train=part-a-*,eval=gone").plan(str(tmp_path), FEATURE)


def test_the_folder_above(tmp_path):
    write(tmp_path / "cifar10/3.0.2/cifar10-train.tfrecord-00000-of-00001", 1)
    with pytest.raises(DataError, match="directly in") as raised:
        TFRecords().plan(str(tmp_path), FEATURE)
    assert f"--data {tmp_path}/cifar10/3.0.2" in raised.value.hint


def test_a_file_next_to_folders_for_the_splits(tmp_path):
    for name in ("train/a.csv", "test/a.csv", "b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a,label\n1,x\n")
    with pytest.raises(DataError, match="holds both the file b.csv and the folder"):
        Csv().plan(str(tmp_path), Vector(1))
    (tmp_path / "b.csv").unlink()
    assert set(Csv().plan(str(tmp_path), Vector(1)).splits) == {"train", "eval"} == Csv().split_names(str(tmp_path))


def test_names_of_two_splits_are_a_group_of_their_own():
    assert group_by_role(["train", "x_test_train", "cats"]) == {"train": ["train"], "both": ["x_test_train"]}
