"""The quick start, as README.md and docs/kubernetes.md have it: its commands are read from there and run as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from cluster.control_plane import find_commands
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "docs/kubernetes.md")
BLOCK = re.compile(r"<!-- quick start -->\n(.*?)<!-- /quick start -->", re.DOTALL)


def read_commands(page: str) -> list[str]:
    """The commands between a page's marks, whole where they go on over a line's end."""
    (block,) = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return textwrap.dedent(block).strip().replace("\\\n", "").splitlines()


def test_the_pages_agree() -> None:
    """Every page has the same five commands."""
    first, *others = map(read_commands, PAGES)
    assert len(first) == 5
    assert all(each == first for each in others)


def test_what_was_run_is_shown(whole_cluster: WholeCluster) -> None:
    """On a new node with the images of `make cluster-images` the commands succeed, the last shows the hidden one."""
    subprocess.run([sys.executable, "-m", "cluster", "images", whole_cluster.directory], cwd=ROOT / "tests", check=True)
    *first, last = read_commands(PAGES[0])
    for command in first:
        done = run(command, whole_cluster)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}{explain(whole_cluster)}"

    def is_shown() -> bool:
        shown = run(last, whole_cluster).stdout
        return any(
            line.startswith("exec /bin/busybox: /bin/ls /etc ") and "k8s.pod.name=box" in line
            for line in shown.splitlines()
        )

    wait_until(is_shown, 20, "the hidden command in the collector's log")


def run(command: str, cluster: WholeCluster) -> subprocess.CompletedProcess[str]:
    """As a person in the project's directory would, with kubectl and helm to be found."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig()),
        "PATH": f"{find_commands()}:{os.environ['PATH']}",
    }
    shell = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(shell, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def explain(cluster: WholeCluster) -> str:
    """What runs, and what went wrong."""
    return cluster.kubectl("get", "pods,events", "--all-namespaces", check=False).stdout
