# Each target does all its own set-up; a second call reinstalls nothing.
.PHONY: demo test install lint lock clean
.DEFAULT_GOAL := demo

demo: .venv/installed  ## real pictures -> SavedModel -> answers over gRPC
	.venv/bin/skewless demo digits

test: .venv/installed  ## the whole suite; PYTEST_ARGS="-m 'not slow'" for the quick part
	.venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

install: .venv/installed

.venv/installed: requirements.lock overrides.txt setup.py scripts/install.sh
	@bash scripts/install.sh

lock: .venv/installed  ## resolve setup.py's extras again
	.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --override overrides.txt \
	  --extra pipeline --extra dev --custom-compile-command 'make lock' --output-file requirements.lock setup.py

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
