"""The deployment files: every field against the Kubernetes client's own models, and the files against each other.

These tests have no cluster, Docker or KServe. The compose file is valid under docker-compose 1.29.2's
compose_spec.json, and the InferenceService's fields are those of the models in kserve 0.13.1. Neither is in the lock
file, so the names that are used are listed below.
"""

from __future__ import annotations

import ast
import base64
import copy
import http.server
import inspect
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import kubernetes.client.models as models
import pytest
import yaml

from serving.engines import IMAGE
from tests import PROJECT

DEPLOY = PROJECT / "serving" / "deploy"
KINDS = {
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "Service"): "V1Service",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "V2HorizontalPodAutoscaler",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
}
PLAIN = {"str": str, "int": int, "bool": bool, "float": float}


def faults(value: Any, kind: str, where: str) -> Iterator[str]:
    """Yield what the API server would reject: unknown fields, wrong types, missing required fields."""
    if kind == "object":  # whole number or text: a port, a share
        if not isinstance(value, (int, str)):
            yield f"{where}: {value!r} is neither a number nor a text"
    elif kind in PLAIN:
        if type(value) is not PLAIN[kind]:
            yield f"{where}: {value!r} is not {kind}"
    elif kind.startswith("list["):
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
            return
        for index, one in enumerate(value):
            yield from faults(one, kind[5:-1], f"{where}[{index}]")
    elif kind.startswith("dict("):
        for key, one in value.items():
            yield from faults(one, kind[10:-1], f"{where}.{key}")
    else:
        yield from _faults_of_fields(value, getattr(models, kind), where)


def _faults_of_fields(value: Any, model: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} has no fields"
        return
    types = {json: model.openapi_types[name] for name, json in model.attribute_map.items()}
    names = {json: name for name, json in model.attribute_map.items()}
    for key, one in value.items():
        if key in types:
            yield from faults(one, types[key], f"{where}.{key}")
        else:
            yield f"{where}: no field {key}"
    try:  # the client itself knows what is required
        model(**{names[key]: one for key, one in value.items() if key in names})
    except ValueError as error:
        yield f"{where}: {error}"


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def manifests() -> dict[str, Any]:
    """Return the output of `kubectl kustomize kubernetes/base`, by kind."""
    listed = load("kubernetes/base/kustomization.yaml")["resources"]
    assert {*listed, "kustomization.yaml"} == {file.name for file in (DEPLOY / "kubernetes" / "base").iterdir()}
    loaded = [load(f"kubernetes/base/{name}") for name in listed]
    return {one["kind"]: one for one in loaded}


def check(manifest: dict[str, Any]) -> list[str]:
    return list(faults(manifest, KINDS[manifest["apiVersion"], manifest["kind"]], manifest["kind"]))


@pytest.fixture
def server() -> dict[str, Any]:
    """The container in the Deployment."""
    return manifests()["Deployment"]["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("kind", [kind for _, kind in KINDS])
def test_manifests_are_what_kubernetes_takes(kind: str) -> None:
    assert check(manifests()[kind]) == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("spec.template.spec.containers.0.readinessProb", {}, "no field readinessProb"),
        ("spec.template.spec.containers.0.resources.requests.cpu", 2, "2 is not str"),
        ("spec.template.spec.containers.0.ports.0.containerPort", "8500", "'8500' is not int"),
        ("spec.selector", None, "Invalid value for `selector`"),
        ("spec.template.spec.containers.0.args", "--port=1", "is no list"),
    ],
)
def test_the_check_finds_faults(path: str, value: Any, fault: str) -> None:
    broken = copy.deepcopy(manifests()["Deployment"])
    *parents, last = path.split(".")
    place = broken
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place.pop(last) if value is None else place.update({last: value})
    assert [one for one in check(broken) if fault in one]


def test_what_points_at_pods_points_at_these() -> None:
    found = manifests()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    deployment = found["Deployment"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"]  # else each apply undoes the autoscaler's work
    budget = found["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    assert budget < found["HorizontalPodAutoscaler"]["spec"]["minReplicas"]


def test_ports_names_files_and_flags_fit_together(server: dict[str, Any]) -> None:
    found = manifests()
    flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in server["args"])
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": int(flags["port"]), "http": int(flags["rest_api_port"])}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} == set(ports)
    assert server["image"] == IMAGE
    mounts = {mount["mountPath"]: mount["name"] for mount in server["volumeMounts"]}
    pod = found["Deployment"]["spec"]["template"]["spec"]
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    assert flags["model_base_path"] == f"/models/{flags['model_name']}" and "/models" in mounts
    folder, _, file = flags["monitoring_config_file"].rpartition("/")
    assert file in found["ConfigMap"]["data"] and folder in mounts
    assert int(flags["grpc_max_threads"]) >= 64
    assert flags["tensorflow_intra_op_parallelism"] == server["resources"]["requests"]["cpu"]


def test_readiness_asks_for_a_loaded_version_and_liveness_for_the_process(server: dict[str, Any]) -> None:
    assert server["startupProbe"]["httpGet"] == server["readinessProbe"]["httpGet"]
    assert server["readinessProbe"]["httpGet"] == {"path": "/v1/models/digits/metadata", "port": "http"}
    assert server["livenessProbe"]["grpc"]["port"] == 8500
    assert "--enable_grpc_healthcheck_service" in server["args"]  # off by default, and then the pod would be killed
    retries_s = 5 * 60
    assert server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"] > retries_s


def test_it_runs_with_no_more_rights_than_it_needs(server: dict[str, Any]) -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    own = server["securityContext"]
    assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"]
    assert own["capabilities"] == {"drop": ["ALL"]}


def patched(document: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """Apply a JSON patch (RFC 6902) with the operations that ours uses: test, replace, add and remove."""
    document = copy.deepcopy(document)
    for operation in patch:
        *parents, last = operation["path"].strip("/").split("/")
        place: Any = document
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        key: Any = int(last) if isinstance(place, list) and last != "-" else last
        if operation["op"] == "test":
            assert place[key] == operation["value"]
        elif operation["op"] == "remove":
            del place[key]
        elif operation["op"] == "add" and key == "-":
            place.append(operation["value"])
        else:
            assert operation["op"] == "add" or key in place or isinstance(place, list)
            place[key] = operation["value"]
    return document


def test_the_bucket_takes_the_volumes_place() -> None:
    overlay = load("kubernetes/bucket/kustomization.yaml")
    assert overlay["resources"] == ["../base"] and overlay["patches"][0]["path"] == "patch.yaml"
    deployment = patched(manifests()["Deployment"], load("kubernetes/bucket/patch.yaml"))
    assert check(deployment) == []
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert [flag for flag in container["args"] if "base_path" in flag] == ["--model_base_path=gs://BUCKET/digits"]
    assert "persistentVolumeClaim" not in str(pod) and len(container["volumeMounts"]) == len(pod["volumes"]) == 2


def test_the_inference_service() -> None:
    service = load("kserve/inferenceservice.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert list(faults(service["metadata"], "V1ObjectMeta", "metadata")) == []
    predictor = service["spec"]["predictor"]
    assert set(predictor) == {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "model"}
    model = predictor["model"]
    own = {"modelFormat", "runtime", "runtimeVersion", "storageUri"}
    assert own <= set(model) and set(model["modelFormat"]) == {"name", "version"}
    container = {key: value for key, value in model.items() if key not in own}  # the rest is a container's
    assert list(faults({"name": "x", **container}, "V1Container", "model")) == []
    assert model["runtimeVersion"] == IMAGE.partition(":")[2]


# Compose


class Answers(http.server.BaseHTTPRequestHandler):
    """A stub of the server's REST port: only the model `up` has a version loaded."""

    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200 if self.path == "/v1/models/up/metadata" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("model", "healthy"), [("up", True), ("down", False)])
def test_the_health_check_of_compose(model: str, healthy: bool) -> None:
    """Run the probe's command with bash, on another port."""
    kind, *command = load("docker/compose.yaml")["services"]["server"]["healthcheck"]["test"]
    assert kind == "CMD"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        here = [part.replace("$$", "$").replace("/8501", f"/{answering.server_port}") for part in command]
        done = subprocess.run(here, env={"MODEL_NAME": model, "PATH": "/usr/bin:/bin"}, timeout=10)
        answering.shutdown()
    assert (done.returncode == 0) == healthy


def test_compose_serves_the_same_image_on_this_machine_alone() -> None:
    service = load("docker/compose.yaml")["services"]["server"]
    assert service["image"] == IMAGE
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "--grpc_max_threads=128" in service["command"]
    config = next(volume for volume in service["volumes"] if "monitoring" in volume)
    assert (DEPLOY / "docker" / config.partition(":")[0]).is_file()


def test_the_upload_to_vertex_ai(
    serve_rest: Callable[..., Any], pictures_model: tuple[Path, keras.Model], picture_files: tuple[Any, list[bytes]]
) -> None:
    """docs/how-to/serve.md: every argument exists in the SDK, and a server started with them answers on the routes."""
    from google.cloud.aiplatform import Model

    text = (DEPLOY.parents[1] / "docs" / "how-to" / "serve.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "aiplatform" in block)
    calls = {
        node.func.attr: {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert set(calls["upload"]) <= set(inspect.signature(Model.upload).parameters)
    assert set(calls["deploy"]) <= set(inspect.signature(Model.deploy).parameters)
    upload = calls["upload"]
    port, *flags = upload["serving_container_args"]
    assert port == "--rest_api_port=8080" and upload["serving_container_ports"] == [8080]
    flags = [flag.replace("$(AIP_STORAGE_URI)", str(pictures_model[0])) for flag in flags]
    rest = serve_rest(pictures_model[0], "digits", *flags)
    body = {"instances": [{"b64": base64.b64encode(file).decode()} for file in picture_files[1]]}
    assert len(rest.post(body, upload["serving_container_predict_route"]).json["predictions"]) == 4
    assert rest.ask("GET", upload["serving_container_health_route"]).status == 200


def test_the_files_are_packed() -> None:
    """`package_data` of setup.py: every file here matches one of its patterns."""
    text = (DEPLOY.parents[1] / "setup.py").read_text()
    for pattern in ("deploy/README.md", "deploy/*/*.yaml", "deploy/*/*/*.yaml", "deploy/*/*.config"):
        assert f'"{pattern}"' in text
    files = {file for file in DEPLOY.rglob("*") if file.is_file()}
    packed = {
        file for pattern in ("README.md", "*/*.yaml", "*/*/*.yaml", "*/*.config") for file in DEPLOY.glob(pattern)
    }
    assert files == packed
