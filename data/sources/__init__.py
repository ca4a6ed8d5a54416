"""The sources of records. A source plans its work without reading the data, then reads one shard at a time."""

from data.sources.arrays import Arrays
from data.sources.base import Plan, Source
from data.sources.csv import Csv
from data.sources.first_match import FirstMatch
from data.sources.idx import Idx
from data.sources.image_folder import ImageFolder
from data.sources.image_table import ImageTable
from data.sources.tfrecord import TFRecords

__all__ = ["Arrays", "Csv", "FirstMatch", "Idx", "ImageFolder", "ImageTable", "Plan", "Source", "TFRecords"]
