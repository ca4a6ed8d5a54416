# One image for every component of a compiled pipeline, and for the workers of Beam.
#
#   docker build -t IMAGE .
#   docker build -t IMAGE --build-arg extras="--extra pipeline --extra kubeflow --extra gpu" .   # with CUDA
#   docker build -t IMAGE --build-arg user=0 .   # for workers on Dataflow, which mounts folders that only root may write

FROM python:3.13-slim-trixie AS build
ARG extras="--extra pipeline --extra kubeflow"
ENV VIRTUAL_ENV=/opt/skewless UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
WORKDIR /source
RUN pip install --quiet --no-cache-dir uv && python -m venv "$VIRTUAL_ENV"
# Packages before code: a change of the code alone builds only what comes after. The lock file says which versions,
# setup.py which of them are wanted here: no linters, no test tools.
COPY requirements.lock overrides.txt setup.py pyproject.toml README.md LICENSE ./
RUN uv pip install --quiet --constraint requirements.lock --override overrides.txt $extras --requirement setup.py
COPY skewless skewless
COPY data data
COPY serving serving
COPY components components
COPY pipeline pipeline
RUN uv build --quiet --wheel --out-dir dist && uv pip install --quiet --no-deps dist/*.whl

FROM python:3.13-slim-trixie
ARG user=1000
# A Beam worker starts with Beam's own program; the components are started by their command, whatever the entry point.
COPY --from=apache/beam_python3.13_sdk:2.77.0 /opt/apache/beam /opt/apache/beam
COPY --from=build /opt/skewless /opt/skewless
# The user has a number and no name: a home that is writable, and a name for those who ask. Beam's program would make
# an environment of its own.
ENV PATH=/opt/skewless/bin:$PATH HOME=/tmp LOGNAME=skewless RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
WORKDIR /tmp
USER $user
ENTRYPOINT ["/opt/apache/beam/boot"]
