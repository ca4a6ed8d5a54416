"""The packages of Skewless, and the extras that only some users need; pyproject.toml has the rest."""

import re
from pathlib import Path

from setuptools import find_packages, setup

# An index of packages shows README.md without the other files: its pictures go, and of its links the text stays.
README = Path("README.md").read_text(encoding="utf-8")
README = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)", "", README)
README = re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", README)

# The client does not need TensorFlow, so the base installation is empty and each use is an extra. `requirements.lock`
# pins the extras pipeline, dev and docs.
CLIENT = ["grpcio>=1.60", "protobuf>=3.20.3", "pillow>=10", "urllib3>=1.26"]
# Two families of packages; the version of Python decides. 3.10 has the older one, for C libraries older than 2.39.
NEW, OLD = "; python_version >= '3.11'", "; python_version < '3.11'"
FAMILIES = {
    "tfx": ("1.21.0", "1.16.0"),
    "tensorflow": ("2.21.0", "2.16.2"),
    "tensorflow-serving-api": ("2.19.1", "2.16.1"),
    "tensorflow-transform": ("1.21.0", "1.16.0"),
    "tensorflow-data-validation": ("1.21.0", "1.16.1"),
    "tensorflow-model-analysis": ("0.52.0", "0.47.1"),
    "tfx-bsl": ("1.21.0", "1.16.1"),
    "ml-metadata": ("1.21.0", "1.16.0"),
    "apache-beam": ("2.77.0", "2.59.0"),
    "keras": ("3.15.1", "3.12.4"),
    "numpy": ("2.4.6", "1.26.4"),
    "protobuf": ("6.33.6", "3.20.3"),
}


def pinned(*names: str) -> list[str]:
    """Return the requirements of both families; a name can have an extra: "tfx[kfp]"."""
    found = []
    for name in names:
        newer, older = FAMILIES[name.partition("[")[0]]
        found += [f"{name}=={newer}{NEW}", f"{name}=={older}{OLD}"]
    return found


PIPELINE = [
    *CLIENT,
    *pinned(*FAMILIES),
    f"tensorboard==2.21.0{NEW}",  # TensorFlow no longer depends on it
    "scikit-learn>=1.5",
    "click>=8.1",
    "rich>=13",
    "matplotlib>=3.8",
    "jinja2>=3",
    "tornado>=6.4",
    "orjson>=3.9",
    "google-crc32c>=1.5",  # TFRecord checksums
]
GPU = pinned("tensorflow[and-cuda]")
KUBEFLOW = [
    *pinned("apache-beam[gcp]"),
    f"tfx[kfp]==1.16.0{OLD}",
    f"kfp==2.5.0{OLD}",
    f"kfp==2.16.1{NEW}",  # TFX requires it only below Python 3.12
    f"kfp-pipeline-spec==2.16.1{NEW}",
]
# For machines that only submit to Vertex AI; the SDK's REST transport was tested.
VERTEX = ["google-cloud-aiplatform==1.165.1", "google-cloud-storage>=2.19", "click>=8.1", "rich>=13", "pyyaml>=6"]
DEV = [
    *KUBEFLOW,
    *VERTEX,
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "ruff",
    "mypy",
    "prometheus-client",
    "types-protobuf",
    "opencv-python-headless<4.12",
    f"grpcio-tools==1.80.0{NEW}",  # the newest for protobuf 6
    f"grpcio-tools==1.48.2{OLD}",
    "python-rapidjson>=1.20",
    "ipykernel>=6",  # the notebooks of examples/
    "jupytext>=1.16",
    "nbclient>=0.10",
    "setuptools<80",
    "wheel",
]
# The site, `make docs`. The limits keep its look and its checks until somebody looks at a newer one.
DOCS = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.7,<10",
    "mkdocstrings[python]>=1,<2",
    "pymdown-extensions<11",
]

TOPS = ("skewless", "data", "serving", "components", "pipeline")
setup(
    long_description=README,
    long_description_content_type="text/markdown",
    packages=find_packages(include=[f"{top}{rest}" for top in TOPS for rest in ("", ".*")]),
    include_package_data=False,  # only what is listed here; MANIFEST.in is for the sdist
    package_data={
        **{top: ["py.typed", "templates/*.j2", "templates/report/*"] for top in TOPS},
        "serving": [
            "py.typed",
            "deploy/README.md",
            "server/README.md",
            "deploy/*/*.yaml",
            "deploy/*/*/*.yaml",
            "deploy/*/*.config",
            "protocol/*.proto",
            "protocol/*.binpb",
        ],
    },
    extras_require={
        "client": CLIENT,
        "pipeline": PIPELINE,
        "kubeflow": KUBEFLOW,
        "vertex": VERTEX,
        "gpu": GPU,
        "dev": DEV,
        "docs": DOCS,
    },
)
