"""The images: small, the same each time, nothing inside that nobody needs, and they run as the pods of the chart do."""

from __future__ import annotations

import json
import re
import stat
from email.parser import HeaderParser
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

import pytest
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.images import (
    NAMES,
    ImageArchive,
    agent_image,
    build_images,
    compiling_agent_image,
    machine_architecture,
    operator_image,
)

from images.recipes import ARCHITECTURES, RECIPES

MEGABYTE = 1_000_000
LIMITS = {
    "podcorder-agent": 150 * MEGABYTE,
    "podcorder-agent-bcc": 350 * MEGABYTE,
    "podcorder-operator": 200 * MEGABYTE,
}
ELF_MACHINES = {"amd64": 62, "arm64": 183}
COMMANDS = {
    "podcorder-agent": {"podcorder", "python", "python3", "python3.11"},
    "podcorder-agent-bcc": {"podcorder", "python", "python3", "python3.11"},
    "podcorder-operator": {"podcorder-operator", "python", "python3", "python3.11"},
}
INSTALLERS = {"distutils/command", "ensurepip", "lib2to3", "pip", "setuptools", "venv", "wheel"}
UNCHANGEABLE = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED = {**UNCHANGEABLE, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
RECORDER = {**UNCHANGEABLE, "runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["BPF", "PERFMON"]}}
LOAD_EVERY_LIBRARY = """
import ctypes, pathlib
for path in sorted(pathlib.Path("/usr").rglob("*.so*")):
    if path.is_file():
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL if "libpython" in path.name else ctypes.DEFAULT_MODE)
"""
NAME_UNCOMPILED = """
import sys, pathlib
import {module}
loaded = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, "__spec__", None)]
print([spec.name for spec in loaded if spec.cached and not pathlib.Path(spec.cached).exists()])
"""


def images_here() -> dict[str, ImageArchive]:
    return {
        "podcorder-agent": agent_image(),
        "podcorder-agent-bcc": compiling_agent_image(),
        "podcorder-operator": operator_image(),
    }


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All images for both architectures, made once more, in other places, another time zone and language."""
    directory = tmp_path_factory.mktemp("rebuilt")
    elsewhere = {"TMPDIR": str(tmp_path_factory.mktemp("elsewhere")), "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    images_here()
    build_images(directory, NAMES, ARCHITECTURES, elsewhere)
    return directory


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_small(name: str) -> None:
    """Unpacked, the agent's image takes at most 150 MB, with bcc 350 MB, and the operator's 200 MB."""
    size = sum(member.size for member in images_here()[name].files.values())
    print(f"{name}: {size / MEGABYTE:.0f} MB")
    assert size <= LIMITS[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_inputs_make_the_same_image(name: str, rebuilt: Path) -> None:
    """An image that is made again has the same digest, and archive and SBOM are the same byte by byte."""
    first, second = images_here()[name], ImageArchive(rebuilt, name, machine_architecture())
    assert first.digest == second.digest
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sbom.read_bytes() == second.sbom.read_bytes()


def test_a_variant_lies_upon_the_plain_image() -> None:
    """Whoever has the plain image's packages need not fetch them again: they are the same layers."""
    plain, variant = agent_image(), compiling_agent_image()
    assert variant.layers[:2] == plain.layers[:2]
    assert variant.layers[-1] == plain.layers[-1]
    assert len(variant.layers) == len(plain.layers) + 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_machine_code_is_of_the_images_architecture(name: str, architecture: str, rebuilt: Path) -> None:
    """Whatever is machine code in an image is for the architecture that its configuration names, BPF apart."""
    image = ImageArchive(rebuilt, name, architecture)
    assert image.configuration["architecture"] == architecture
    programs = [
        path
        for path, member in image.files.items()
        if member.isfile() and (".so" in path or "/bin/python3" in path) and image.read(path).startswith(b"\x7fELF")
    ]
    machines = {int.from_bytes(image.read(path)[18:20], "little") for path in programs}
    assert len(programs) > 50
    assert machines == {ELF_MACHINES[architecture]}


@pytest.mark.parametrize("name", NAMES)
def test_the_sbom_lists_what_is_inside(name: str) -> None:
    """The SBOM has each Debian package of dpkg's status, each distribution that Python finds, and nothing else."""
    image = images_here()[name]
    paragraphs = filter(None, image.read("var/lib/dpkg/status").decode().split("\n\n"))
    packages = [HeaderParser().parsestr(paragraph) for paragraph in paragraphs]
    metadata = [path for path in image.files if path.endswith(".dist-info/METADATA")]
    wheels = [HeaderParser().parsestr(image.read(path).decode()) for path in metadata]
    inside = {("deb", each["Package"], each["Version"]) for each in packages}
    inside |= {("pypi", each["Name"], each["Version"]) for each in wheels}
    sbom = json.loads(image.sbom.read_text())
    listed = {(each["purl"][4:].split("/")[0], each["name"], each["version"]) for each in sbom["components"]}
    assert listed == inside
    assert sbom["metadata"]["component"]["hashes"][0]["content"] == image.digest.removeprefix("sha256:")
    assert sbom["metadata"]["component"]["version"] == image.tag


@pytest.mark.parametrize("name", NAMES)
def test_every_package_has_its_licence(name: str) -> None:
    """Each Debian package still has the directory of its copyright file, or a link to that of another."""
    image = images_here()[name]
    without = [
        package
        for package in RECIPES[name].packages
        if not {f"usr/share/doc/{package}", f"usr/share/doc/{package}/copyright"} & image.files.keys()
    ]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_can_be_run(name: str) -> None:
    """The only commands are Python and the project's own: no shell, compiler or package manager; nothing is setuid."""
    files = images_here()[name].files
    commands = {PurePosixPath(path).name for path in files if fnmatchcase(path, "usr/*bin/*")}
    assert commands == COMMANDS[name]
    assert [
        path for path in files for module in INSTALLERS if path.endswith((f"3.11/{module}", f"packages/{module}"))
    ] == []
    privileged = [path for path, file in files.items() if file.isfile() and file.mode & (stat.S_ISUID | stat.S_ISGID)]
    assert privileged == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """No symbolic link points to what was left out."""
    files = images_here()[name].files
    merged = {path: member.linkname for path, member in files.items() if member.issym() and "/" not in path}

    def resolve(path: str) -> str:
        first, slash, rest = normpath(path).strip("/").partition("/")
        return f"{merged.get(first, first)}{slash}{rest}"

    links = [
        (path, str(PurePosixPath("/", path).parent / file.linkname)) for path, file in files.items() if file.issym()
    ]
    assert len(links) > 20
    assert [path for path, target in links if resolve(target) not in files] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_what_it_is(name: str) -> None:
    """Labels name title, version, licence and time; the default user is not root."""
    image = images_here()[name]
    settings = image.configuration["config"]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in settings["Labels"].items()}
    assert labels["title"] == RECIPES[name].name
    assert labels["version"] == image.reference.rpartition(":")[2]
    assert labels["licenses"] == "Apache-2.0"
    assert labels["created"] == image.configuration["created"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", settings["User"])


@pytest.fixture(scope="module")
def cluster(whole_cluster: WholeCluster) -> WholeCluster:
    """The whole cluster with all images; `restricted` lets in only what Kubernetes' strictest standard allows."""
    for image in images_here().values():
        whole_cluster.import_image(image.path)
    whole_cluster.kubectl("create", "namespace", "restricted")
    whole_cluster.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    whole_cluster.kubectl("create", "namespace", "recorders")
    wait_until(
        lambda: all(has_service_account(whole_cluster, each) for each in ("restricted", "recorders")),
        30,
        "the namespaces' service accounts",
    )
    return whole_cluster


def test_commands_run_without_any_privilege(cluster: WholeCluster) -> None:
    """Both programs say how they are used in pods of the restricted standard with a read-only root file system."""
    asked = run_pod(cluster, "restricted", agent_image(), RESTRICTED, "podcorder", "doctor", "--help")
    assert "Usage: podcorder doctor" in asked
    asked = run_pod(cluster, "restricted", operator_image(), RESTRICTED, "podcorder-operator", "--help")
    assert "Usage: podcorder-operator" in asked


def test_the_operators_image_runs_the_operator(cluster: WholeCluster) -> None:
    """A manifest that names no command gets the operator's."""
    assert "Usage: podcorder-operator" in run_pod(cluster, "restricted", operator_image(), RESTRICTED, args=["--help"])


def test_the_recorders_container_has_libbpf(cluster: WholeCluster) -> None:
    """As root with two capabilities, the recorder's package finds libbpf 1 and the programs of both architectures."""
    code = (
        "from importlib.resources import files\n"
        "from podcorder_agent.recorder import libbpf\n"
        "libbpf.library()\n"
        "print(sorted(each.name for each in files('podcorder_agent.recorder').joinpath('objects').iterdir()))"
    )
    found = run_pod(cluster, "recorders", agent_image(), RECORDER, "python", "-c", code)
    assert found == "['arm64', 'x86_64']\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_library_loads(name: str, cluster: WholeCluster) -> None:
    """No library and no extension module wants another library that the image does not have."""
    run_pod(cluster, "restricted", images_here()[name], RESTRICTED, "python", "-c", LOAD_EVERY_LIBRARY)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("podcorder-agent", "podcorder_agent.delivery.__main__"),
        ("podcorder-agent-bcc", "bcc"),
        ("podcorder-operator", "podcorder_operator.cli"),
    ],
)
def test_what_is_loaded_is_compiled(name: str, module: str, cluster: WholeCluster) -> None:
    """Of each Python module that a program loads the image has the bytecode."""
    code = NAME_UNCOMPILED.format(module=module)
    assert run_pod(cluster, "restricted", images_here()[name], RESTRICTED, "python", "-c", code) == "[]\n"


def run_pod(
    cluster: WholeCluster,
    namespace: str,
    image: ImageArchive,
    security: dict[str, Any],
    *command: str,
    args: list[str] | None = None,
) -> str:
    """What a pod of one container writes until it ends well."""
    container: dict[str, Any] = {"name": "main", "image": image.reference, "securityContext": security}
    container |= {"command": list(command)} if command else {}
    container |= {"args": args} if args else {}
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"generateName": "image-"}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    name = cluster.request("POST", pods, pod)["metadata"]["name"]

    def phase() -> str:
        found: str = cluster.request("GET", f"{pods}/{name}")["status"]["phase"]
        return found

    wait_until(lambda: phase() in ("Succeeded", "Failed"), 60, f"the end of pod {name}")
    said = cluster.kubectl("logs", name, "--namespace", namespace).stdout
    assert phase() == "Succeeded", said
    return said


def has_service_account(cluster: WholeCluster, namespace: str) -> bool:
    accounts = cluster.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]
    return any(each["metadata"]["name"] == "default" for each in accounts)
