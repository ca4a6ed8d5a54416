"""The main job, end to end, as a user calls it: `skewless demo digits`, offline.

The tests share one first run. Each of them finds the root as that run left it, so they run in any order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.pipeline.conftest import COMMAND, Outcome, Skewless, environment
from tests.pipeline.report.page.browser import Browser
from tests.pipeline.report.page.real_page import assert_page_is_complete

pytestmark = pytest.mark.slow

# A new network namespace has only a loopback, which is down. SIOCSIFFLAGS sets IFF_UP, as `ip link set lo up` does.
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""

COMPONENTS = [
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Baseline",
    "Evaluator",
    "SkewGate",
    "Pusher",
    "ReportGen",
]


@dataclass(frozen=True)
class Digits:
    """A finished first run of `digits`.

    Attributes:
      root: Its root.
      outcome: Its outcome.
      offline: Whether it had no network.
      copy: A copy of the root.
    """

    root: Path
    outcome: Outcome
    offline: bool
    copy: Path

    @property
    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "digits" / "serving" / "digits").iterdir())


@pytest.fixture(scope="module")
def first_run(skewless: Skewless, tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """Run `skewless demo digits` on an empty root, without a network if a network namespace can be created."""
    root = tmp_path_factory.mktemp("root")
    cut_off = ["unshare", "--net", sys.executable, "-c", LOOPBACK_UP]
    offline = bool(shutil.which("unshare")) and subprocess.run([*cut_off, "true"], capture_output=True).returncode == 0
    prefix = cut_off if offline else []
    outcome = skewless("demo", "digits", root=root, task="digits", prefix=prefix)
    copy = tmp_path_factory.mktemp("first-run") / "root"
    shutil.copytree(root, copy, symlinks=True)
    return Digits(root, outcome, offline, copy)


@pytest.fixture
def digits(first_run: Digits) -> Digits:
    """Restore the root to what the first run left: at the same path, because ML Metadata has absolute paths."""
    shutil.rmtree(first_run.root)
    shutil.copytree(first_run.copy, first_run.root, symlinks=True)
    return first_run


def test_the_demo_answers_without_a_network_and_looks_for_none(digits: Digits) -> None:
    if not digits.offline:
        pytest.skip("cannot create a network namespace: it needs root")
    assert digits.outcome.status == 0, digits.outcome.err
    assert re.search(r"(9|10) of 10 right\nnext      skewless report digits --root ", digits.outcome.out)
    (log,) = (digits.root / "logs").iterdir()
    # Prism, which Beam's other local runner downloads, and the errors of sockets and DNS.
    assert not re.findall("prism|unreachable|resolution|Name or service", log.read_text(), re.IGNORECASE)


def test_a_first_run_pushes_a_good_model(digits: Digits) -> None:
    outcome = digits.outcome
    assert outcome.status == 0, outcome.err
    record = outcome.record
    assert record["status"] == "pushed" and record["exit_code"] == 0 and record["blessed"] is True
    assert outcome.states() == dict.fromkeys(COMPONENTS, "executed")
    assert all(one["seconds"] >= 0 and one["why"] for one in record["components"])
    assert sum(record["data"]["examples"].values()) == 1797
    assert record["data"]["quarantined"] == {}
    assert record["evaluation"]["slices"]["overall"]["sparse_categorical_accuracy"] >= 0.95
    assert set(record["evaluation"]["slices"]) == {"overall", *(f"label:{digit}" for digit in range(10))}
    assert record["evaluation"]["baseline"] is None
    assert record["training"]["images_per_second"] > 0 and 0 <= record["training"]["waiting_share"] <= 1
    assert Path(record["pushed"]["path"], "saved_model.pb").exists()
    assert Path(record["pushed"]["path"], "assets.extra", "tf_serving_warmup_requests").stat().st_size > 1000
    assert digits.versions == [str(record["pushed"]["version"])]


def test_it_was_proved_before_it_was_pushed_and_can_be_again(digits: Digits, skewless: Skewless) -> None:
    proof = digits.outcome.record["skew"]
    assert proof["passed"] and proof["routes"][-1]["route"] == "the pushed version"
    assert "9 routes agree on" in digits.outcome.out
    again = skewless("skew", "digits", root=digits.root)
    assert (again.status, again.err) == (0, "")
    assert "9 routes agree on" in again.out and "client skew avoided: 190 answers" in again.out


def test_it_prints_little_and_no_noise(digits: Digits) -> None:
    lines = [line for line in digits.outcome.out.partition("\n10 pictures that")[0].splitlines() if line]
    expected = re.compile(r"^(log|done|data|training|quality|metrics|proof|pushed|plots|page|record) ")
    assert [line for line in lines if not expected.match(line)] == []
    assert digits.outcome.err == ""
    log = Path(digits.outcome.record["log"])
    assert str(log) in digits.outcome.out and log.stat().st_size > 10_000


def test_the_model_pushed_is_the_model_evaluated(digits: Digits) -> None:
    """Measure the accuracy of files on disk through `serving_default`; the Evaluator used `serving_examples`."""
    record = digits.outcome.record
    files = tf.io.gfile.glob(record["data"]["folder"] + "/Split-eval/*")
    sources = [
        tf.train.Example.FromString(one).features.feature["image/source"].bytes_list.value[0].decode()
        for one in tf.data.TFRecordDataset(files).as_numpy_iterator()
    ]
    model = tf.saved_model.load(record["pushed"]["path"])
    pictures = [Path(record["data_folder"], source).read_bytes() for source in sources]
    answer = model.signatures["serving_default"](image_bytes=tf.constant(pictures))
    names = answer["classes"].numpy()[np.arange(len(sources)), answer["scores"].numpy().argmax(axis=1)]
    truths = [Path(source).parent.name.encode() for source in sources]
    accuracy = np.mean(names == np.array(truths))
    assert record["evaluation"]["slices"]["overall"]["sparse_categorical_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    np.testing.assert_array_equal(answer["classes"].numpy()[0], [str(digit).encode() for digit in range(10)])


def test_an_unchanged_run_takes_everything_from_the_cache(digits: Digits, skewless: Skewless) -> None:
    again = skewless("run", "digits", root=digits.root, task="digits")
    assert again.status == 0, again.err
    assert again.states() == {name: "executed" if name == "Baseline" else "cached" for name in COMPONENTS}
    assert again.why("Trainer") == "nothing that it depends on has changed"
    assert again.record["status"] == "unchanged"
    assert again.record["pushed"] == digits.outcome.record["pushed"]
    assert len(digits.versions) == 1


def test_a_worse_model_is_not_pushed(digits: Digits, skewless: Skewless) -> None:
    settings = ("--set", "train.epochs=1", "--set", "evaluate.min_accuracy=0")
    worse = skewless("run", "digits", *settings, root=digits.root, task="digits")
    assert worse.status == 4
    value = worse.record["evaluation"]["slices"]["overall"]["sparse_categorical_accuracy"]
    before = digits.outcome.record["evaluation"]["slices"]["overall"]["sparse_categorical_accuracy"]
    assert value < before == pytest.approx(worse.record["evaluation"]["baseline"])
    assert f"accuracy {value:.4f} is worse than {before:.4f}" in worse.err
    assert worse.record["status"] == "not pushed" and worse.record["blessed"] is False
    assert len(digits.versions) == 1
    expected = dict.fromkeys(COMPONENTS[:5], "cached") | dict.fromkeys([*COMPONENTS[5:8], "ReportGen"], "executed")
    assert worse.states() == expected
    assert worse.why("Trainer") == "train.epochs 12 -> 1"
    back = skewless("run", "digits", root=digits.root, task="digits")
    assert back.record["status"] == "unchanged" and back.record["pushed"] == digits.outcome.record["pushed"]


def test_a_new_limit_reruns_the_evaluation_alone(digits: Digits, skewless: Skewless) -> None:
    stricter = skewless("run", "digits", "--set", "evaluate.min_accuracy=0.999", root=digits.root, task="digits")
    assert stricter.status == 4
    assert "below the limit 0.9990" in stricter.err and "--set evaluate.min_accuracy" in stricter.err
    executed = [name for name, state in stricter.states().items() if state == "executed"]
    assert executed == ["Baseline", "Evaluator", "ReportGen"]


def test_back_to_the_first_model_serves_it_again(digits: Digits, skewless: Skewless) -> None:
    """The run takes everything from the cache, but another model has been pushed since."""
    first = Path(digits.outcome.record["pushed"]["path"])
    other = first.parent / str(int(first.name) + 5)
    shutil.copytree(first, other)
    (other / "fingerprint.pb").write_bytes(b"another model")
    again = skewless("run", "digits", root=digits.root, task="digits")
    assert again.status == 0, again.err
    assert again.record["status"] == "pushed" and again.why("Pusher") == "it was not the one being served"
    assert int(digits.versions[-1]) == again.record["pushed"]["version"] > int(other.name)
    assert (Path(again.record["pushed"]["path"]) / "fingerprint.pb").read_bytes() == (
        first / "fingerprint.pb"
    ).read_bytes()
    third = skewless("run", "digits", root=digits.root, task="digits")
    assert third.record["status"] == "unchanged" and third.record["pushed"] == again.record["pushed"]


def test_served_and_asked_from_the_command_line(digits: Digits, skewless: Skewless) -> None:
    serve = [*COMMAND, "serve", "digits", "--root", str(digits.root), "--port", "0", "--engine", "embedded"]
    server = subprocess.Popen(serve, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        line = next(line for line in server.stdout if "Running gRPC" in line)
        address = re.search(r"at (\S+)", line)[1]  # type: ignore[index]
        folder = digits.root / "digits" / "data"
        files = [str(sorted((folder / str(digit)).iterdir())[0]) for digit in range(10)]
        answered = skewless("predict", *files, "--server", address, "--model", "digits")
        assert answered.status == 0, answered.err
        rows = [line.split("\t") for line in answered.out.splitlines()]
        assert [row[2] for row in rows] == files
        assert sum(row[0] == str(digit) for digit, row in enumerate(rows)) >= 9
        assert all(0 < float(row[1]) <= 1 for row in rows)
        missing = skewless("predict", "/no/such.png", "--server", address)
        assert missing.status == 2 and missing.err.startswith("error: cannot read /no/such.png")
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
    gone = skewless("predict", files[0], "--server", address)
    assert gone.status == 6 and "skewless serve" in gone.err


def test_the_page_of_the_run_has_every_section(first_run: Digits, browser: Browser, axe: str) -> None:
    record = first_run.outcome.record
    overall = record["evaluation"]["slices"]["overall"]
    texts = {
        "overview": ["Pushed", f"{100 * overall['sparse_categorical_accuracy']:.1f}%", *COMPONENTS],
        "data": ["1,417", "380", *"0123456789"],
        "training": ["Accuracy", "Loss", "exported", "Conv2D", "85,066 parameters"],
        "evaluation": ["What is confused", "Worst mistakes", "Quality by class", "Calibration"],
        "proof": ["9 routes agree", "serving_default", "gRPC", "REST", "The pushed version"],
        "serving": ["skewless serve digits", f"serving/digits/{first_run.versions[0]}", "curl"],
    }
    pictures = {"data": 50, "evaluation": 20, "proof": 1}
    assert_page_is_complete(browser, axe, Path(record["page"]), texts, pictures)
