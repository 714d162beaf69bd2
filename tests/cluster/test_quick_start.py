"""The quick start, as README.md and docs/kubernetes.md have it, and after it the commands of docs/operations.md: they
are read from the pages and run as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cluster.control_plane import find_commands
from cluster.sandboxes import wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.processes import with_modules

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "docs/kubernetes.md")


def read_commands(page: str, mark: str) -> list[str]:
    """The commands between a page's marks, whole where they go on over a line's end."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", text, re.DOTALL)
    return "".join(map(textwrap.dedent, blocks)).replace("\\\n", "").splitlines()


@pytest.fixture(scope="module")
def started(whole_cluster: WholeCluster) -> WholeCluster:
    """A new node with the images of `make cluster-images`, on which all but the last of the quick start was run."""
    bring = [sys.executable, "-m", "cluster", "images", whole_cluster.directory]
    subprocess.run(bring, env=with_modules(), check=True)
    for command in read_commands(PAGES[0], "quick start")[:-1]:
        succeed(command, whole_cluster)
    return whole_cluster


def test_the_pages_agree() -> None:
    """Every page has the same five commands."""
    first, *others = (read_commands(page, "quick start") for page in PAGES)
    assert len(first) == 5
    assert all(each == first for each in others)


def test_what_was_run_is_shown(started: WholeCluster) -> None:
    """The last command of the quick start shows what was hidden in the one before, with the pod it was run in."""
    last = read_commands(PAGES[0], "quick start")[-1]

    def is_shown() -> bool:
        lines = run(last, started).stdout.splitlines()
        hidden = [line for line in lines if line.startswith("exec /bin/busybox: /bin/ls /etc ")]
        return any("k8s.pod.name=box" in line and "podcorder.session.kind=Exec" in line for line in hidden)

    wait_until(is_shown, 20, "the hidden command in the collector's log")


@pytest.mark.parametrize("command", read_commands("docs/operations.md", "run"))
def test_what_operators_run_succeeds(started: WholeCluster, command: str) -> None:
    """Each command that the page has for a cluster that works does."""
    succeed(command, started)


def succeed(command: str, cluster: WholeCluster) -> None:
    done = run(command, cluster)
    if done.returncode != 0:
        seen = cluster.kubectl("get", "pods,events", "--all-namespaces", check=False).stdout
        pytest.fail(f"{command}\n{done.stdout}{done.stderr}{seen}")
    print(f"{command}\n{done.stdout}")


def run(command: str, cluster: WholeCluster) -> subprocess.CompletedProcess[str]:
    """As a person in the project's directory would, with kubectl and helm to be found."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig()),
        "PATH": f"{find_commands()}:{os.environ['PATH']}",
    }
    shell = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(shell, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
