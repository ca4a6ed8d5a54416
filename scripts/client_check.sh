#!/usr/bin/env bash
# Test the client in a Python for which the pipeline has no packages, such as 3.14.
#
#   PYTHON=python3.14 bash scripts/client_check.sh
#
# Without such a Python, in the next Debian in a folder (needs root and 3 GB):
#
#   bash scripts/debian13.sh make DIR forky
#   bash scripts/debian13.sh run DIR bash scripts/client_check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
python=$folder/venv/bin/python
install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }

# As a user: the client's packages alone, and the test of the example.
mkdir "$folder/source"
git -c safe.directory="$PWD" ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$folder/source"
install "$folder/source[client]" pytest
cp -r examples/client "$folder/example"
(cd "$folder/example" && "$python" -m pytest --quiet test_ask.py)
"$python" -m pip list --disable-pip-version-check

# The whole tests of the client. They serve models and compare with TensorFlow, which the client itself never imports.
# TensorFlow has wheels for 3.14 since the candidates of 2.22.
install --pre 'tensorflow>=2.21' tornado orjson google-crc32c grpcio-tools pytest-timeout pytest-xdist hypothesis uv
install --no-deps tensorflow-serving-api
"$python" -m pytest --quiet -n 2 --dist loadfile -p no:cacheprovider tests/serving/client tests/serving/protocol
