"""The reader: each record once a pass, the orders, the transform; cached in memory and streamed."""

from __future__ import annotations

import dataclasses
import gc

import numpy as np
import pytest
import tensorflow as tf

from data.images.headers import Header
from data.images.ops import decode_batch
from data.input.reader import Batches, InputShard, ReadConfig, read_batches
from data.records import image_record
from data.spec import LABEL, VECTOR, Classes, Image, Labels, Number, Vector
from tests.data.input.vector_shards import vector_example, write_vector_shards

EXAMPLES = 103
MEMORY = {"in memory": 1 << 30, "streamed": 0}


def doubled(raw):
    """The transform of the vectors' task; the result shows that it ran, and on batches."""
    assert raw[VECTOR].shape.rank == 2
    return {VECTOR: raw[VECTOR] * 2, LABEL: raw[LABEL] + 0.5}


@pytest.fixture(scope="module")
def reading(tmp_path_factory) -> ReadConfig:
    """103 vectors (i, -i) with the label i, in five files of different length."""
    files = write_vector_shards(tmp_path_factory.mktemp("shards"), (40, 1, 33, 12, 17))
    return ReadConfig(files, EXAMPLES, Vector(2), Number(), doubled, 10)


def one_pass(dataset: tf.data.Dataset) -> tuple[list[int], list[int]]:
    """Numbers of the records in the order given, and the sizes of the batches; checks each row's transform."""
    order, sizes = [], []
    for features, labels in dataset.as_numpy_iterator():
        assert features.dtype == labels.dtype == np.float32 and len(features) == len(labels)
        np.testing.assert_array_equal(features[:, 0], (labels - 0.5) * 2)
        np.testing.assert_array_equal(features[:, 1], -features[:, 0])
        order.extend((labels - 0.5).astype(int).tolist())
        sizes.append(len(labels))
    return order, sizes


def read(reading: ReadConfig, how: str, seed: int | None = None, **options) -> Batches:
    found = read_batches(reading, cache_bytes=MEMORY[how], seed=seed, **options)
    assert found.in_memory == (how == "in memory")
    assert (found.load_seconds > 0) == (found.in_memory and seed is None)
    return found


@pytest.mark.parametrize("how", MEMORY)
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("batch_size", [1, 10, 103, 1000])
def test_each_record_exactly_once_a_pass(how, seed, batch_size, reading):
    found = read(dataclasses.replace(reading, batch_size=batch_size), how, seed)
    whole, rest = divmod(EXAMPLES, batch_size)
    assert found.steps == whole + bool(rest)
    for epoch in range(3):
        order, sizes = one_pass(found.one_pass(epoch))
        assert sorted(order) == list(range(EXAMPLES))
        assert sizes == [batch_size] * whole + [rest] * bool(rest)


@pytest.mark.parametrize("how", MEMORY)
@pytest.mark.parametrize("buffer", [1, 10, 4096])
def test_another_order_each_epoch_and_the_same_ones_for_the_same_seed(how, buffer, reading):
    first, again, other = (read(reading, how, seed, shuffle_buffer=buffer) for seed in (3, 3, 4))
    orders = [one_pass(first.one_pass(epoch))[0] for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert [one_pass(again.one_pass(epoch))[0] for epoch in range(4)] == orders
    assert one_pass(other.one_pass())[0] not in orders


@pytest.mark.parametrize("how", MEMORY)
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (0, 1), (0, 10), (1, 0), (2, 7)])
def test_begun_anywhere_it_goes_on_as_from_the_beginning(how, seed, epoch, batch, reading):
    found = read(reading, how, seed)
    whole = [labels.tolist() for _, labels in found.passes().take(4 * found.steps).as_numpy_iterator()]
    rest = [
        labels.tolist() for _, labels in found.passes(epoch, batch).take(2 * found.steps - batch).as_numpy_iterator()
    ]
    assert rest == whole[epoch * found.steps + batch : (epoch + 2) * found.steps]
    assert [one for labels in whole[found.steps : 2 * found.steps] for one in labels] == [
        order + 0.5 for order in one_pass(found.one_pass(1))[0]
    ]


@pytest.mark.parametrize("how", MEMORY)
@pytest.mark.parametrize("of_process", [0, 5])
def test_the_seed_of_the_process_changes_nothing(how, of_process, reading):
    before = [one_pass(read(reading, how, 0).one_pass(epoch))[0] for epoch in range(2)]
    tf.random.set_seed(of_process)
    try:
        assert [one_pass(read(reading, how, 0).one_pass(epoch))[0] for epoch in range(2)] == before
    finally:
        tf.random.set_seed(None)


@pytest.mark.parametrize("how", MEMORY)
def test_the_order_is_well_mixed(how, reading):
    order, _ = one_pass(read(reading, how, 3).one_pass())
    assert (np.abs(np.diff(order)) == 1).mean() < 0.1
    assert abs(np.corrcoef(order, range(EXAMPLES))[0, 1]) < 0.4  # four sigma of a random order


@pytest.mark.parametrize("how", MEMORY)
def test_without_a_seed_the_order_stays(how, reading):
    found = read(reading, how)
    assert [one_pass(found.one_pass(epoch))[0] for epoch in range(2)] == [list(range(EXAMPLES))] * 2


def test_memory_by_hand(reading):
    """103 vectors of two float32, and 8 bytes for each label."""
    assert reading.memory == 103 * (2 * 4 + 8) == 1648
    assert reading.fits(1648) and not reading.fits(1647)
    assert read_batches(reading, cache_bytes=1648).in_memory and not read_batches(reading, cache_bytes=1647).in_memory
    assert dataclasses.replace(reading, examples=10, feature=Image(4, 5, 3)).memory == 10 * (60 + 8)


def test_held_in_memory_in_their_order_the_files_are_not_read_again(reading, tmp_path):
    path = tmp_path / "shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(vector_example([1.0, -1.0], 1.0))
    found = read(dataclasses.replace(reading, files=[str(path)], examples=1), "in memory")
    path.unlink()
    assert one_pass(found.one_pass()) == ([1], [1])


def test_the_first_epoch_streams_and_what_it_kept_is_read_from_then_on(reading, tmp_path):
    files = [str(tmp_path / str(number)) for number in range(5)]
    for source, copy in zip(reading.files, files, strict=True):
        tf.io.gfile.copy(source, copy)
    dataset = read_batches(dataclasses.replace(reading, files=files), cache_bytes=1 << 30, seed=3).passes()
    gc.collect()  # of the reader nothing is left but the dataset
    rows = iter(dataset)
    first = one_pass_of(rows, 11)
    for file in files:
        tf.io.gfile.remove(file)
    later = [one_pass_of(rows, 11) for _ in range(2)]
    assert sorted(first) == sorted(later[0]) == sorted(later[1]) == list(range(EXAMPLES))
    assert first == one_pass(read(reading, "streamed", 3).one_pass())[0]
    resumed = read(reading, "in memory", 3)
    assert one_pass(resumed.one_pass(2))[0] == later[1]
    assert one_pass(resumed.one_pass(0))[0] == first


def one_pass_of(iterator, steps: int) -> list[int]:
    return [int(label - 0.5) for _ in range(steps) for label in next(iterator)[1].numpy()]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("examples", [100, 102, 104, 110, 111])
def test_held_in_memory_a_wrong_count_is_an_error_not_rows_of_zeros(examples, seed, reading):
    wrong = dataclasses.replace(reading, examples=examples)
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.FailedPreconditionError)):
        list(read_batches(wrong, cache_bytes=1 << 30, seed=seed).passes().take(40))


@pytest.mark.parametrize("how", MEMORY)
@pytest.mark.parametrize(("chunk", "calls"), [(1, {10, 3}), (35, {30, 13}), (4096, {103})])
def test_small_examples_are_transformed_in_chunks_and_nothing_else_changes(how, chunk, calls, reading, monkeypatch):
    def sized(raw):
        assert raw[VECTOR].shape.rank == 2
        count = tf.fill([tf.shape(raw[LABEL])[0]], tf.cast(tf.shape(raw[LABEL])[0], tf.float32))
        return {VECTOR: tf.stack([raw[LABEL], count], axis=1), LABEL: raw[LABEL]}

    one_by_one = dataclasses.replace(reading, transform=sized, shard=InputShard(0, 2))
    monkeypatch.setattr("data.input.reader.CHUNK", 1)
    expected = list(read(one_by_one, how, 5).passes().take(33).as_numpy_iterator())
    monkeypatch.setattr("data.input.reader.CHUNK", chunk)
    whole = dataclasses.replace(reading, transform=sized)
    for epoch, batch in ((0, 0), (0, 4), (1, 10)) if how == "streamed" else ((0, 0),):
        first = 11 * epoch + batch
        found = list(read(whole, how, 5).passes(epoch, batch).take(33 - first).as_numpy_iterator())
        assert [len(labels) for _, labels in found] == (([10] * 10 + [3]) * 3)[first:]
        for (features, labels), (_, half) in zip(found, expected[first:], strict=True):
            np.testing.assert_array_equal(labels[::2], half)
            np.testing.assert_array_equal(features[:, 0], labels)
    assert {int(one) for features, _ in list(read(whole, how, 5).one_pass()) for one in features[:, 1]} == calls


def test_large_pictures_are_transformed_by_the_batch(reading):
    assert dataclasses.replace(reading, feature=Image(96, 96)).chunk_size == 250
    assert dataclasses.replace(reading, feature=Image(128, 128)).chunk_size == reading.batch_size
    assert dataclasses.replace(reading, batch_size=300).chunk_size == 300


def test_held_in_memory_chunk_by_chunk(reading, monkeypatch):
    monkeypatch.setattr("data.input.reader.CHUNK", 16)
    assert one_pass(read(reading, "in memory").one_pass())[0] == list(range(EXAMPLES))


def test_a_shape_that_the_transform_does_not_keep_is_refused(reading):
    wrong = dataclasses.replace(reading, transform=lambda raw: {VECTOR: raw[VECTOR][:, :1], LABEL: raw[LABEL]})
    with pytest.raises(ValueError, match="Dimension 1 in both shapes must be equal, but are 2 and 1"):
        read_batches(wrong, cache_bytes=0).one_pass()


@pytest.mark.parametrize("how", MEMORY)
def test_pictures_stay_uint8_and_keep_their_labels(how, smooth, encode, tmp_path):
    pixels = [smooth(seed, 6, 5) for seed in range(20)]
    path, names, spec = tmp_path / "shard", ["ant", "bee"], Image(6, 5)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, one in enumerate(pixels):
            record = image_record(encode(one, "PNG"), (6, 5), Header("png", 3), names[number % 2], "s")
            writer.write(record.example)

    def transform(raw):
        index = tf.argmax(tf.equal(raw[LABEL][:, tf.newaxis], names), axis=1)
        return {"image": decode_batch(raw["image"], spec), LABEL: index}

    dataset = read(ReadConfig([str(path)], 20, spec, Classes(), transform, 8), how, 1).one_pass()
    seen = []
    for features, labels in dataset.as_numpy_iterator():
        assert features.dtype == np.uint8 and labels.dtype == np.int64 and features.shape[1:] == (6, 5, 3)
        for feature, label in zip(features, labels, strict=True):
            (number,) = (i for i, one in enumerate(pixels) if np.array_equal(one, feature))
            assert label == number % 2
            seen.append(number)
    assert sorted(seen) == list(range(20)) != seen


NAMES = ("a", "b", "c")


def labelled(raw):
    dense = tf.sparse.to_dense(raw[LABEL], "")
    hot = tf.reduce_any(tf.equal(dense[:, :, tf.newaxis], tf.constant(NAMES)), axis=1)
    return {VECTOR: raw[VECTOR], LABEL: tf.cast(hot, tf.float32)}


def several_labels(path) -> ReadConfig:
    """20 vectors; of the number n, the bits decide which of the names apply."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(20):
            names = tuple(name for bit, name in enumerate(NAMES) if number >> bit & 1)
            writer.write(vector_example([float(number)], names))
    return ReadConfig([str(path)], 20, Vector(1), Labels(), labelled, 8, label_shape=(3,))


@pytest.mark.parametrize("how", MEMORY)
@pytest.mark.parametrize("seed", [None, 1])
def test_several_labels_stay_with_their_rows(how, seed, tmp_path):
    batches = read(several_labels(tmp_path / "shard"), how, seed)
    for epoch in range(2):
        dataset = batches.one_pass(epoch)
        assert dataset.element_spec[1].shape.as_list() == [None, 3] and dataset.element_spec[1].dtype == tf.float32
        seen = []
        for features, labels in dataset.as_numpy_iterator():
            numbers = features[:, 0].astype(int)
            np.testing.assert_array_equal(labels, [[number >> bit & 1 for bit in range(3)] for number in numbers])
            seen += numbers.tolist()
        assert sorted(seen) == list(range(20))


def test_the_memory_of_several_labels_by_hand(tmp_path):
    reading = several_labels(tmp_path / "shard")
    assert reading.memory == 20 * (4 + 3 * 4)
    with pytest.raises(ValueError, match="must be equal, but are 4 and 3"):
        read_batches(dataclasses.replace(reading, label_shape=(4,)), cache_bytes=0).one_pass()


def test_parts_share_the_batches_of_several_labels(tmp_path):
    reading = several_labels(tmp_path / "shard")
    (whole,) = read(dataclasses.replace(reading, batch_size=20), "streamed").one_pass().as_numpy_iterator()
    part = dataclasses.replace(reading, batch_size=20, shard=InputShard(1, 3))
    for how in MEMORY:
        ((features, labels),) = read(part, how).one_pass().as_numpy_iterator()
        np.testing.assert_array_equal(features, whole[0][1::3])
        np.testing.assert_array_equal(labels, whole[1][1::3])


@pytest.mark.parametrize("how", MEMORY)
def test_parts_share_the_batches_of_one_reader(reading, how) -> None:
    """Row i of each batch of two epochs is the part's whose turn it is; the last batch, of 3, leaves one of 4 without
    any. From the beginning, and begun further on."""
    for epoch, batch in ((0, 0), (1, 9)):
        count = 2 * 11 - batch
        whole = list(read(reading, how, 5).passes(epoch, batch).take(count).as_numpy_iterator())
        for index in range(4):
            part = dataclasses.replace(reading, shard=InputShard(index, 4))
            found = list(read(part, how, 5).passes(epoch, batch).take(count).as_numpy_iterator())
            for (features, labels), (every, each) in zip(found, whole, strict=True):
                np.testing.assert_array_equal(features, every[index::4])
                np.testing.assert_array_equal(labels, each[index::4])
    assert not found[-1][1].size and len(whole[-1][1]) == 3
