"""The console of a notebook; tests/examples runs it in a kernel."""

from __future__ import annotations

import threading
import time

from pipeline.report.notebook import NotebookConsole


class _SlowText:
    """A text that takes a while to draw."""

    def __rich__(self) -> str:
        time.sleep(0.2)
        return "training"


def test_a_status_is_not_drawn_after_its_end() -> None:
    before = threading.active_count()
    with NotebookConsole().status(_SlowText(), refresh_per_second=1000):
        while threading.active_count() == before:
            time.sleep(0.01)
        time.sleep(0.05)  # it draws now
    assert threading.active_count() == before
