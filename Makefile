# Each target installs what it needs; a second call installs nothing.
.PHONY: demo test install lint docs lock protos clean
.DEFAULT_GOAL := demo
export VENV ?= .venv

demo: $(VENV)/installed  ## real pictures -> SavedModel -> answers over gRPC
	$(VENV)/bin/skewless demo digits

test: $(VENV)/installed  ## the whole suite; PYTEST_ARGS="-m 'not slow'" for the quick part
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/installed  ## the site, into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

install: $(VENV)/installed

$(VENV)/installed: requirements.lock overrides.txt setup.py pyproject.toml scripts/install.sh
	@bash scripts/install.sh

# Another PYTHON than that of the environment creates it again.
ifdef PYTHON
ifneq ($(shell $(PYTHON) -V 2>&1),$(shell $(VENV)/bin/python -V 2>&1))
.PHONY: $(VENV)/installed
endif
endif

lock: $(VENV)/installed  ## resolve setup.py's extras again
	$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --override overrides.txt \
	  --extra pipeline --extra dev --extra docs --custom-compile-command 'make lock' --output-file requirements.lock setup.py

protos: $(VENV)/installed  ## compile serving/protocol/*.proto again
	$(VENV)/bin/python scripts/compile_protos.py

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
