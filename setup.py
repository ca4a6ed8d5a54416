"""Packaging of Skewless: the four layers, and the extras that only some users need."""

from setuptools import find_packages, setup

# A client that only asks a server for answers needs none of TensorFlow, so the base
# installation is empty and each use is an extra. `requirements.lock` pins `pipeline,dev`.
CLIENT = ["grpcio>=1.60", "protobuf>=3.20.3", "pillow>=10"]
PIPELINE = [
    *CLIENT,
    "tfx==1.16.0",
    "tensorflow==2.16.2",
    "tensorflow-serving-api==2.16.1",
    "tensorflow-transform==1.16.0",
    "tensorflow-data-validation==1.16.1",
    "tensorflow-model-analysis==0.47.1",
    "tfx-bsl==1.16.1",
    "ml-metadata==1.16.0",
    "apache-beam==2.59.0",
    "keras==3.12.4",
    "numpy==1.26.4",
    "protobuf==3.20.3",
    "scikit-learn>=1.5",
    "click>=8.1",
    "rich>=13",
    "matplotlib>=3.8",
    "jinja2>=3",
    "tornado>=6.4",
    "orjson>=3.9",
    "google-crc32c>=1.5",  # TFRecord checksums
]
GPU = ["tensorflow[and-cuda]==2.16.2"]
KUBEFLOW = ["tfx[kfp]==1.16.0", "kfp==2.5.0", "apache-beam[gcp]==2.59.0"]
# To submit to Vertex AI from a machine without the pipeline; the client's REST transport is what was tested.
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
    "setuptools<80",
    "wheel",
]

setup(
    name="skewless",
    version="0.1.0",
    description="TFX image pipelines whose training and serving cannot drift apart",
    python_requires=">=3.10",  # the pipeline: 3.10 alone, as TFX says itself
    packages=find_packages(
        include=[f"{top}{rest}" for top in ("data", "serving", "components", "pipeline") for rest in ("", ".*")]
    ),
    package_data={
        **{top: ["py.typed", "templates/*.j2"] for top in ("data", "components", "pipeline")},
        "serving": ["py.typed", "deploy/README.md", "deploy/*/*.yaml", "deploy/*/*/*.yaml", "deploy/*/*.config"],
    },
    install_requires=[],
    extras_require={
        "client": CLIENT,
        "pipeline": PIPELINE,
        "kubeflow": KUBEFLOW,
        "vertex": VERTEX,
        "gpu": GPU,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["skewless = pipeline.cli:main"]},
)
