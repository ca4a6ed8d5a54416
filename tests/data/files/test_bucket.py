"""Buckets: pages of several folders at a time, one listing for the fingerprint and the plan, errors in one line."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.files.fingerprint import folder_fingerprint
from data.files.known import known_listing
from data.files.listing import Entry, entries, walk
from data.sources import ImageFolder
from data.spec import Image, Labels
from tests.pipeline.runners.remote.local_service import Asked, Rejection, Service

OBJECTS = re.compile(r"/storage/v1/b/([\w.-]+)/o$")


class Bucket(Service):
    """Cloud Storage's `objects.list` over names with sizes, `page` of them at a time; counts the requests."""

    def __init__(self, objects: dict[str, int], page: int = 3) -> None:
        super().__init__()
        self.objects, self.page = objects, page
        self.updated = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc)

    @property
    def lists(self) -> int:
        """Number of requests for lists; newer versions of Google's client also ask for the bucket now and then."""
        return sum(bool(OBJECTS.match(one.path)) for one in self.asked)

    def answer(self, asked: Asked) -> Any:
        found = OBJECTS.match(asked.path)
        if not found or found[1] != "b":
            raise Rejection(404, "The specified bucket does not exist.")
        prefix, start = asked.query.get("prefix", ""), asked.query.get("pageToken", "")
        below: dict[str, bool] = {}
        for name in sorted(self.objects):
            if name.startswith(prefix):
                first, mark, _ = name[len(prefix) :].partition("/")
                below.setdefault(f"{prefix}{first}{mark}", bool(mark))
        names = [name for name in below if name > start][: self.page]
        more = {"nextPageToken": names[-1]} if names and any(name > names[-1] for name in below) else {}
        items = [
            {"name": name, "size": str(self.objects[name]), "updated": self.updated.isoformat().replace("+00:00", "Z")}
            for name in names
            if not below[name]
        ]
        return {"items": items, "prefixes": [name for name in names if below[name]], **more}

    def refused(self, refusal: Rejection) -> Any:
        return {"error": {"code": refusal.code, "message": str(refusal)}}


NAMES = [
    *(f"set/cats/{number:03d}.jpg" for number in range(8)),
    *(f"set/dogs/deep/er/{number}.png" for number in range(5)),
    *("set/dogs/1.png", "set/readme.md", "set/.git/config", "other/cats/1.jpg"),
    "set/empty/",  # what Google's console writes in place of a folder
]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with Bucket({name: len(name) for name in NAMES}) as service:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
        yield service


def copy_here(bucket: Bucket, folder: Path) -> Path:
    for name, size in bucket.objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(b"x" * size)
    return folder / "set"


def test_a_bucket_lists_what_the_same_folder_on_a_disk_lists(bucket: Bucket, tmp_path: Path) -> None:
    folder = copy_here(bucket, tmp_path)
    with known_listing("gs://b/set"):
        assert list(walk("gs://b/set")) == list(walk(str(folder)))
        assert entries("gs://b/set/dogs/deep/") == [Entry("er", "folder")]
        for nothing in ("gs://b/set/none", "gs://b/set/cats/000.jpg", "gs://b/set/ca"):
            with pytest.raises(DataError, match=f"no data folder at {nothing}"):
                entries(nothing)


@pytest.mark.parametrize("label", [None, Labels()])
def test_fingerprint_and_plan_take_one_listing(bucket: Bucket, tmp_path: Path, label: Labels | None) -> None:
    del bucket.objects["set/empty/"]  # a class without a picture
    folder = copy_here(bucket, tmp_path)
    assert folder_fingerprint("gs://b/set").startswith("files:16,sum:")
    requests = bucket.lists
    assert requests == 2 + 1 + 3 + 1 + 1 + 2  # set, .git, cats, dogs, deep, er: three names a page
    with known_listing("gs://b/set"):
        plan = ImageFolder().plan("gs://b/set", Image(8, 8), label)
    assert bucket.lists == requests
    local = ImageFolder().plan(str(folder), Image(8, 8), label)
    assert {split: list(items) for split, items in plan.splits.items()} == {
        split: list(items) for split, items in local.splits.items()
    }
    assert (plan.not_pictures, plan.unused, plan.classes) == (local.not_pictures, local.unused, local.classes)
    with known_listing("gs://b/set"):  # the driver's is used once: another run asks again
        assert bucket.lists == 2 * requests
        ImageFolder().plan("gs://b/set", Image(8, 8), label)
    assert bucket.lists == 2 * requests


def test_the_fingerprint_follows_names_sizes_and_times(bucket: Bucket) -> None:
    found = [folder_fingerprint("gs://b/set")]
    bucket.page = 1000
    assert folder_fingerprint("gs://b/set/") == found[0]
    bucket.objects["set/dogs/1.png"] += 1
    found.append(folder_fingerprint("gs://b/set"))
    bucket.updated += datetime.timedelta(microseconds=1)
    found.append(folder_fingerprint("gs://b/set"))
    bucket.objects["set/dogs/2.png"] = bucket.objects.pop("set/dogs/1.png")
    found.append(folder_fingerprint("gs://b/set"))
    bucket.objects["other/cats/2.jpg"] = 1
    assert len(set(found)) == 4 and folder_fingerprint("gs://b/set") == found[-1]


def test_a_bucket_that_does_not_exist(bucket: Bucket) -> None:
    with pytest.raises(DataError, match="cannot list the bucket gs://none: .*does not exist") as caught:
        folder_fingerprint("gs://none/set")
    assert caught.value.hint and "\n" not in str(caught.value)


def test_folders_are_asked_for_at_the_same_time(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service answers the requests for two folders only when both are there."""
    import threading

    both, answer = threading.Barrier(2, timeout=30), bucket.answer

    def together(asked: Asked) -> Any:
        if asked.query["prefix"] in ("set/cats/", "set/dogs/") and "pageToken" not in asked.query:
            both.wait()
        return answer(asked)

    monkeypatch.setattr(bucket, "answer", together)
    assert folder_fingerprint("gs://b/set").startswith("files:16,")
