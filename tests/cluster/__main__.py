"""`make cluster-up`, `cluster-images` and `cluster-down`: a cluster that stays until it is taken down."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cluster.control_plane import ControlPlane, find_commands
from cluster.images import write_busybox_image, write_program_image
from cluster.sandboxes import ClusterFailed, Sandbox, run
from cluster.whole_cluster import SOCKET, WholeCluster
from fixtures.collectors import find_binary
from fixtures.images import PROJECT, agent_image, operator_image, read_image_name

QUICK_START = PROJECT / "examples" / "quick-start"


def main() -> None:
    parser = argparse.ArgumentParser(prog="cluster")
    parser.add_argument("action", choices=("up", "images", "down"))
    parser.add_argument("directory", type=Path, help="where the cluster keeps its files")
    parser.add_argument("--nodes", type=int, choices=(0, 1), default=1)
    arguments = parser.parse_args()
    directory = arguments.directory.absolute()
    try:
        if arguments.action == "down":
            take_down(directory)
        elif arguments.action == "images":
            bring_images(directory)
        else:
            bring_up(directory, WholeCluster if arguments.nodes else ControlPlane)
    except ClusterFailed as failed:
        sys.exit(f"cluster: {failed}")


def bring_up(directory: Path, kind: type[ControlPlane]) -> None:
    """Start a cluster and say how it is reached; one that runs already is only named."""
    if find_sandbox(directory) is None:
        take_down(directory)
        directory.mkdir(parents=True)
        began = time.monotonic()
        cluster = kind.create(directory, outlives_us=True)
        (directory / "sandbox").write_text(cluster.sandbox.identity)
        try:
            cluster.start()
        except BaseException:
            cluster.stop()
            raise
        for user in cluster.tokens:
            cluster.kubeconfig(user)
        print(f"Ready in {time.monotonic() - began:.1f} s. `make cluster-down` ends it.", file=sys.stderr)
    commands = find_commands("control-plane")
    print(f"export KUBECONFIG={directory / 'kubeconfigs' / 'admin.kubeconfig'} PATH={commands}:$PATH")


def bring_images(directory: Path) -> None:
    """Import what the quick start names: Podcorder's images as they are now, the tests' collector, busybox."""
    containerd = directory / "node" / SOCKET.strip("/")
    if not containerd.is_socket():
        raise ClusterFailed(f"no node runs in {directory}: start one with `make cluster-up`")
    with tempfile.TemporaryDirectory() as made:
        collector, busybox = Path(made, "collector.tar"), Path(made, "busybox.tar")
        write_program_image(collector, read_image_name(QUICK_START / "collector.yaml"), find_binary())
        write_busybox_image(busybox, read_image_name(QUICK_START / "box.yaml"), ["sh"])
        for archive in (agent_image().path, operator_image().path, collector, busybox):
            run("ctr", "--address", containerd, "--namespace", "k8s.io", "images", "import", archive)


def take_down(directory: Path) -> None:
    """End the cluster of this directory and remove the directory; none there is fine."""
    sandbox = find_sandbox(directory)
    if sandbox is not None:
        sandbox.close()
    if directory.exists():
        shutil.rmtree(directory)


def find_sandbox(directory: Path) -> Sandbox | None:
    """The sandbox of the cluster in this directory, None where none runs."""
    identity = directory / "sandbox"
    return Sandbox.find(identity.read_text()) if identity.exists() else None


main()
