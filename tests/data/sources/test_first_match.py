"""FirstMatch: the source that fits the folder reads it, as it would alone."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import DataError
from data.sources import Arrays, Csv, FirstMatch
from data.spec import Number, Vector

SOURCE = FirstMatch(first=Csv(label="y"), second=Arrays(train=("x", "y"), eval=()))


def numbers(outcomes) -> list[bytes]:
    return sorted(one.example for one in outcomes)


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_it_reads_what_the_fitting_source_reads(kind, read_all, tmp_path):
    if kind == "csv":
        (tmp_path / "points.csv").write_text("x,y\n1,3.2\n2,5.2\n3,7.2\n")
    else:
        np.savez(tmp_path / "points.npz", x=np.array([1.0, 2.0, 3.0]), y=np.array([3.2, 5.2, 7.2]))
    alone = read_all(SOURCE.first if kind == "csv" else SOURCE.second, tmp_path, Vector(1), Number())
    found = read_all(SOURCE, tmp_path, Vector(1), Number())
    assert len(found[""]) == 3 and numbers(found[""]) == numbers(alone[""])
    assert found["plan"].records_per_item == alone["plan"].records_per_item


def test_a_folder_that_fits_neither_is_an_error_with_both_reasons(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError) as caught:
        SOURCE.plan(str(tmp_path), Vector(1))
    for words in ("no file named *.csv", "no array 'x'", "; and "):
        assert words in str(caught.value)
