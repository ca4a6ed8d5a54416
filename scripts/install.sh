#!/usr/bin/env bash
# Create .venv, or VENV, from requirements.lock with the newest suitable Python, and install the project into it.
# PYTHON=python3.12 chooses another Python. "--choose" only prints the choice.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

# The wheels of TFX 1.21's family need this C library; Python 3.10 has the older family, which has no minimum.
needed=2.39
has=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2 || true)
is_new() { [ -n "$has" ] && [ "$(printf '%s\n' "$needed" "$has" | sort -V | head -n1)" = "$needed" ]; }
runs() { "$1" -c '' 2>/dev/null; }
minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
stop() { echo "skewless: $1" >&2; exit 1; }

if is_new; then fitting="3.13 3.12 3.11 3.10"; else fitting="3.10"; fi

python=""
if [ -n "${PYTHON:-}" ]; then
  runs "$PYTHON" || stop "PYTHON=$PYTHON does not run. Install it, or choose another of: $fitting."
  case " $fitting " in
    *" $(minor "$PYTHON") "*) python=$PYTHON ;;
    *) stop "Python $(minor "$PYTHON") does not fit a system with the C library ${has:-of another kind}: choose one of $fitting." ;;
  esac
  why="PYTHON chooses it"
else
  for version in $fitting; do
    if runs "python$version"; then python=python$version; break; fi
    # pyenv's command only runs if a file or a variable names the version.
    for found in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python"$version"; do
      if runs "$found"; then python=$found; fi
    done
    if [ -n "$python" ]; then break; fi
    if command -v uv >/dev/null && found=$(uv python find --no-python-downloads "$version" 2>/dev/null); then python=$found; break; fi
  done
  [ -n "$python" ] || stop "none of Python $fitting was found. Install one: apt-get install python${fitting%% *} python${fitting%% *}-venv, or pyenv install ${fitting%% *}."
  if is_new; then why="the newest that fits"; else why="the C library is ${has:-unknown}; TFX 1.21 and Python 3.11 to 3.13 need $needed"; fi
fi
version=$(minor "$python")
if [ "$version" = 3.10 ]; then family="TFX 1.16"; else family="TFX 1.21"; fi
echo "Python $version, $family: $why."
[ "${1:-}" != --choose ] || exit 0

# Check this first: otherwise a traceback follows after 3 GB of downloads.
"$python" -c 'import ensurepip, venv' 2>/dev/null || stop "Python $version lacks venv: apt-get install python$version-venv."
if [ "$version" = 3.10 ]; then  # pyfarmhash has no wheel for it
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    stop "Python's headers are missing, which pyfarmhash is compiled with: apt-get install python$version-dev."
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
    stop "a C++ compiler is missing, which pyfarmhash needs: apt-get install g++."
fi

# In a shell whose active environment is $venv, `python` is a link in the folder that is about to be cleared.
python=$("$python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')

echo "Setting up $venv; the first time takes a few minutes and 3 GB."
echo "1 of 3: an empty environment with uv, which installs the rest"
"$python" -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check uv
echo "2 of 3: the packages of requirements.lock: download, install, compile"
# Without bytecode the first import of TFX takes 50 s instead of 14 s. uv shows its progress, and then lists all packages.
"$venv/bin/uv" pip sync --compile-bytecode --python "$venv/bin/python" requirements.lock
echo "3 of 3: Skewless itself"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
touch "$venv/installed"
echo "Done. For the command line in this shell: . $venv/bin/activate; skewless"
