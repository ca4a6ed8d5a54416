"""What ExampleGen's driver finds out before anything is read: span, version and a fingerprint of the data folder."""

from __future__ import annotations

import posixpath
from typing import Any

import tensorflow as tf
from tfx.components.example_gen import driver, input_processor
from tfx.dsl.io import fileio

from data.errors import DataError, UsageError
from data.files.fingerprint import folder_fingerprint


class InputProcessor(input_processor.FileBasedInputProcessor):
    """TFX's resolution of span and version, with a fingerprint of every file below the folder.

    TFX's fingerprint covers only the files that one pattern matches, and whole seconds of their time stamps: a picture
    replaced within a second, or in a deeper folder, would be missed and give a stale cache hit.
    """

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """Return the latest span and its latest version; 0 and None if `source.folder` has no pattern.

        Raises:
          DataError: If nothing matches the pattern, or if a match has no number.
        """
        pattern = posixpath.dirname(self._splits[0].pattern)
        if not (self._is_match_span or self._is_match_date):
            return 0, None  # TFX would stat every file for its fingerprint, and fail at a dangling link
        try:
            span, version = super().resolve_span_and_version()
        except (ValueError, fileio.NotFoundError) as error:
            raise DataError(
                f"no span of '{pattern}' in {self._input_base_uri}: {error or 'a link there is broken'}",
                hint="Give the folder above the spans with --data DIR, or another pattern with --set source.folder=...",
            ) from None
        folder = self._data_folder(span, version)
        if not tf.io.gfile.isdir(folder):
            raise DataError(
                f"the latest span of '{pattern}' is {span}, but the folder {folder} does not exist",
                hint="Numbers with leading zeros need a width: {SPAN:2}, {VERSION:2}.",
            )
        return span, version

    def _data_folder(self, span: int | None, version: int | None) -> str:
        pattern = self.get_pattern_for_span_version(self._splits[0].pattern, span, version)
        return posixpath.dirname(posixpath.join(self._input_base_uri, pattern))

    def get_input_fingerprint(self, span: int | None, version: int | None) -> str:
        """Return the number of files below the folder, and a hash of their paths, sizes and modification times."""
        return folder_fingerprint(self._data_folder(span, version))


class Driver(driver.FileBasedDriver):
    """TFX's driver with that input processor."""

    def get_input_processor(
        self, splits: Any, range_config: Any = None, input_base_uri: str | None = None
    ) -> InputProcessor:
        """Return the input processor; see the base class for the arguments.

        Raises:
          UsageError: If the pattern of the folder is invalid, for example a version without a span.
        """
        try:
            return InputProcessor(input_base_uri, splits, range_config)
        except ValueError as error:
            hint = "For example source.folder=day-{SPAN}/v{VERSION}, or day-{YYYY}-{MM}-{DD}"
            raise UsageError(f"source.folder: {error}", hint=hint) from None
