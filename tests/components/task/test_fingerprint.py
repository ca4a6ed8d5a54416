from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from components.task import fingerprint
from components.task.train_config import Train
from tests import PROJECT
from tests.tasks.tiny import TASK

SOURCE = '''
import math
RATE = 0.5

def helper(x):
    return x + 1

class Layer:
    def call(self, x):
        return x * RATE

def unrelated(x):
    return x - 1

def build(x):
    """Says something."""
    inner = lambda y: y * 2
    return Layer().call(helper(inner(x))) + math.pi
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that creates a user's module from a source; each time a new one of the same name."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a source of the same size and second would be taken for it

    def make(source: str) -> ModuleType:
        path = tmp_path / "users_own.py"
        path.write_text(source)
        import linecache

        linecache.clearcache()
        spec = importlib.util.spec_from_file_location("users_own", path)
        assert spec and spec.loader
        found = importlib.util.module_from_spec(spec)
        sys.modules["users_own"] = found
        spec.loader.exec_module(found)
        return found

    yield make
    sys.modules.pop("users_own", None)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""Says something."""', '"""Says something else."""', True),
        ("return x + 1", "return x + 1  # why", True),
        ("def unrelated(x):\n    return x - 1", "def unrelated(x):\n    return x - 2", True),
        ("return x + 1", "return x + 2", False),
        ("RATE = 0.5", "RATE = 0.25", False),
        ("return x * RATE", "return x / RATE", False),
        ("y * 2", "y * 3", False),
        ("+ math.pi", "+ math.e", False),
    ],
)
def test_the_hash_sees_what_the_function_computes_and_nothing_else(
    module: Callable[[str], ModuleType], old: str, new: str, same: bool
) -> None:
    before = fingerprint.code_hash(module(SOURCE).build)
    assert old in SOURCE
    after = fingerprint.code_hash(module(SOURCE.replace(old, new)).build)
    assert (before == after) is same


def test_values_are_named_by_their_dotted_path() -> None:
    found = fingerprint.describe_dependencies(TASK.train, "train")
    assert found["train.epochs"] == "1" and found["train.optimizer"] == "'adam'"
    changed = dataclasses.replace(TASK.train, epochs=2)
    assert {key for key in found if found[key] != fingerprint.describe_dependencies(changed, "train")[key]} == {
        "train.epochs"
    }
    assert fingerprint.describe_dependencies(TASK.model, "model")["model"].startswith("code ")


OBJECTS = """
import keras
GAMMA = 2.0
DECAY = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)

class Base(keras.losses.Loss):
    def call(self, labels, outputs):
        return outputs ** GAMMA

class Own(Base):
    def __init__(self, share=0.5, name="own"):
        super().__init__(name=name)
        self.share = share

    def get_config(self):
        return {**super().get_config(), "share": self.share}

def measure(labels, outputs):
    return outputs

def optimizer():
    return keras.optimizers.Adam(DECAY)

TRAIN = dict(
    optimizer=optimizer,
    loss=Own(0.25),
    metrics=("auc", keras.metrics.AUC(num_thresholds=7, name="area"), keras.metrics.MeanMetricWrapper(measure, "m")),
    callbacks=(measure,),
)
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("import keras", "import keras  # the library", ""),
        ("GAMMA = 2.0", "GAMMA = 3.0", "loss"),
        ("return outputs ** GAMMA", "return -outputs ** GAMMA", "loss"),
        ("Own(0.25)", "Own(0.75)", "loss"),
        ("num_thresholds=7", "num_thresholds=8", "metrics.1"),
        ("    return outputs\n", "    return -outputs\n", "metrics.2, callbacks.0"),
        ('"auc", keras', '"recall", keras', "metrics.0"),
        ("ExponentialDecay(0.5, 10", "ExponentialDecay(0.5, 20", "optimizer"),
    ],
)
def test_keras_objects_count_with_their_settings_and_code(
    module: Callable[[str], ModuleType], old: str, new: str, changed: str
) -> None:
    """The objects of the two modules have other addresses, and other numbers in their names."""
    assert old in OBJECTS
    before, after = (
        fingerprint.describe_dependencies(Train(**module(source).TRAIN), "train")
        for source in (OBJECTS, OBJECTS.replace(old, new))
    )
    assert before.keys() == after.keys()
    found = [name.removeprefix("train.") for name in before if before[name] != after[name]]
    assert sorted(found) == sorted(filter(None, changed.split(", ")))


def test_it_is_the_same_in_another_process() -> None:
    import subprocess

    code = "from components.task import fingerprint\nfrom tests.tasks.tiny import TASK\n"
    code += "print(fingerprint.describe_dependencies(TASK, 't'))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    project = PROJECT
    done = subprocess.run(command, capture_output=True, text=True, cwd=project, env={"PYTHONHASHSEED": "7"})
    assert done.stdout.strip() == str(fingerprint.describe_dependencies(TASK, "t")), done.stderr


def test_it_is_the_same_in_another_python(module: Callable[[str], ModuleType]) -> None:
    """Syntax trees of 3.10 and 3.13 have different empty fields, and the bytecode differs."""
    assert fingerprint.code_hash(module(SOURCE).build) == "f5b7779afac65051"


def test_the_framework_hash_covers_the_layers() -> None:
    assert fingerprint.FRAMEWORK == ("data", "serving", "components")
    assert len(fingerprint.framework_hash()) == 16
