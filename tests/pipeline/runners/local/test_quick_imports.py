"""Modules that are loaded when they are first used, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runners.local.quick_imports import LAZY
from tests import PROJECT

IMPORTS = "\n    import components.task.reference, pipeline.runners.local.run\n"
QUICK = "import gc, sys\nfrom pipeline.runners.local.quick_imports import LAZY, is_unused, quick_imports\n"


def _python(code: str, folder: Path = PROJECT) -> list[str]:
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout.splitlines()


def test_the_modules_of_a_run() -> None:
    """Fails when an upgrade imports one of them in another way: runs still work, but start slower."""
    code = f"{QUICK}with quick_imports():{IMPORTS}"
    code += "print(sorted(set(LAZY) - set(filter(is_unused, LAZY))))\n"
    code += "print(gc.isenabled(), gc.get_freeze_count() > 100_000)\n"
    code += "import keras, matplotlib.pyplot as plt\n"
    code += "print(keras.wrappers.SKLearnClassifier.__name__, plt.Figure.__name__, is_unused('matplotlib.pyplot'))"
    assert _python(code) == ["[]", "True True", "SKLearnClassifier Figure False"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that counts how often its code runs, one that fails, and a script's path to both."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "__init__.py").write_text("print('loaded')\nfrom late import inner\nNAME = inner.NAME\n")
    (tmp_path / "late" / "inner.py").write_text("import late\nNAME = 'x'\n")
    (tmp_path / "own.py").write_text("def __getattr__(name):\n    return name.upper()\n")
    (tmp_path / "broken.py").write_text("raise ImportError('no library')\n")
    return tmp_path


def _lazily(package: Path, code: str) -> list[str]:
    start = f"import sys\nsys.path[:0] = [{str(PROJECT)!r}, {str(package)!r}]\n{QUICK}"
    start += "with quick_imports(['late', 'own', 'broken', 'not_installed']):\n    pass\n"
    return _python(start + code, package)


def test_an_attribute_loads(package: Path) -> None:
    code = "import late, late\nprint('imported', is_unused('late'))\nprint(late.NAME, late.NAME, is_unused('late'))\n"
    code += "print(hasattr(late, 'no'), late.__spec__.loader.get_source('late')[:5])"
    assert _lazily(package, code) == ["imported True", "loaded", "x x False", "False print"]


@pytest.mark.parametrize("code", ("from late import NAME", "from late import *", "from late.inner import NAME"))
def test_what_is_inside_loads(package: Path, code: str) -> None:
    assert _lazily(package, f"{code}\nprint(NAME)") == ["loaded", "x"]


def test_a_module_with_a_getattr_of_its_own(package: Path) -> None:
    assert _lazily(package, "import own\nprint(own.any_name, is_unused('own'))") == ["ANY_NAME False"]


def test_an_error_comes_at_the_first_use(package: Path) -> None:
    use = "try: broken.x\nexcept ImportError as error: print(error)\n"
    assert _lazily(package, f"import broken\n{use}{use}") == ["no library", "no library"]


def test_a_module_that_is_not_installed(package: Path) -> None:
    assert _lazily(package, "try: import not_installed\nexcept ModuleNotFoundError: print('none')") == ["none"]


def test_threads_wait(package: Path) -> None:
    (package / "late" / "inner.py").write_text("import time\ntime.sleep(0.3)\nNAME = 'x'\n")
    code = "import late\nfrom concurrent.futures import ThreadPoolExecutor\n"
    code += "with ThreadPoolExecutor(4) as pool: print(list(pool.map(lambda _: late.NAME, range(4))))"
    assert _lazily(package, code) == ["loaded", "['x', 'x', 'x', 'x']"]


def test_a_process_that_has_tensorflow() -> None:
    """A notebook is left as it is."""
    code = "import sys\nsys.modules['tensorflow'] = sys\n" + QUICK
    code += "with quick_imports(): print(gc.isenabled())\nprint(gc.get_freeze_count(), len(LAZY))"
    assert _python(code) == ["True", f"0 {len(LAZY)}"]
