"""A control plane with one real node: containerd, kubelet and kube-proxy beside the scheduler and the controllers.

The node sees /run, /var/lib, /var/log and a bpffs of its own, so that its parts have their usual paths, two clusters
never meet and nothing stays on the machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from cluster import names
from cluster.control_plane import NODE, NODE_ADDRESS, SERVICES, ControlPlane
from cluster.images import BUSYBOX, PAUSE, write_busybox_image
from cluster.sandboxes import hierarchies, wait_until

PODS = "10.244.0.0/16"
SOCKET = "/run/containerd/containerd.sock"
OWN_DIRECTORIES = ("/run", "/var/lib", "/var/log")
# The kubelet sets these for the whole machine: it gets files instead.
TUNABLES = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
CONTAINERD = f"""\
version = 2
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE no pod would start
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni"
"""
CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


class WholeCluster(ControlPlane):
    """A cluster whose pods run. Images there are: `images.BUSYBOX`, and what `import_image` brings."""

    def start(self) -> None:
        """Start everything, and wait until pods can run."""
        super().start()
        self.start_controllers()
        scheduler = self.internal_kubeconfig("system:kube-scheduler")
        self.start_daemon(
            self.commands / "kube-scheduler",
            f"--kubeconfig={scheduler}",
            f"--authentication-kubeconfig={scheduler}",
            f"--authorization-kubeconfig={scheduler}",
            "--leader-elect=false",
        )
        self._set_up_node()
        self._start_containerd()
        self._write_kubelet_settings()
        self.start_kubelet()
        self._start_proxy()
        self._start_names()
        wait_until(self._is_node_ready, 90, f"the readiness of {NODE}")
        # The controllers make it some time after their start; until then no pod is let in.
        wait_until(self._has_service_account, 60, "the first service account")

    def import_image(self, archive: Path) -> None:
        """Bring an image from an archive onto the node."""
        self.sandbox.run("ctr", "--namespace", "k8s.io", "images", "import", archive)

    def start_kubelet(self) -> None:
        """Start the kubelet, or start it again: containers go on without it."""
        self._kubelet = self.start_daemon(
            self.commands / "kubelet",
            f"--config={self._kubelet_settings}",
            f"--kubeconfig={self.internal_kubeconfig(f'system:node:{NODE}')}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
        )

    def kill_kubelet(self) -> None:
        """End the kubelet at once, as a crash does."""
        self._kubelet.kill()
        self._kubelet.wait()

    def _set_up_node(self) -> None:
        node = self.directory / "node"
        enter = self.sandbox.run
        # Mounts of the kubelet must reach containers and the other way round.
        enter("mount", "--make-rshared", "/")
        for each in TUNABLES:
            copy = node / "tunables" / each
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text((Path("/proc/sys") / each).read_text())
            enter("mount", "--bind", copy, f"/proc/sys/{each}")
        for each in OWN_DIRECTORIES:
            own = node / each.strip("/")
            own.mkdir(parents=True)
            enter("mount", "--bind", own, each)
        enter("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
        (node / "run" / "cni").mkdir()
        (node / "run" / "cni" / "10-pods.conflist").write_text(json.dumps(CNI))
        # A device of its own holds the node's address: the pods' bridge comes with the first pod.
        enter("ip", "link", "add", "node", "type", "bridge")
        enter("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "node")
        enter("ip", "link", "set", "node", "up")
        # kube-proxy changes the destination only of what has a route.
        enter("ip", "route", "add", SERVICES, "dev", "node")
        for hierarchy in hierarchies():
            Path(f"{hierarchy}{self.sandbox.cgroup}").mkdir(exist_ok=True)

    def _start_containerd(self) -> None:
        config = self.directory / "node" / "containerd.toml"
        config.write_text(CONTAINERD)
        self.start_daemon("containerd", "--config", config)
        wait_until(Path(f"{self.directory}/node{SOCKET}").is_socket, 20, "the start of containerd")
        archive = self.directory / "node" / "image.tar"
        for name, command in ((PAUSE, ["tail", "-f", "/dev/null"]), (BUSYBOX, ["sh"])):
            write_busybox_image(archive, name, command)
            self.import_image(archive)

    def _write_kubelet_settings(self) -> None:
        resolver = self.directory / "node" / "resolv.conf"
        resolver.write_text("")
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "authentication": {"x509": {"clientCAFile": str(self.authority)}},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.sandbox.cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "resolvConf": str(resolver),
            "clusterDNS": [NODE_ADDRESS],
            "clusterDomain": names.DOMAIN,
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "oomScoreAdj": 0,
        }
        self._kubelet_settings = self._write_settings("kubelet", settings)

    def _start_proxy(self) -> None:
        settings = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.internal_kubeconfig("system:kube-proxy"))},
            "mode": "iptables",
            "clusterCIDR": PODS,
            "hostnameOverride": NODE,
            "conntrack": {"maxPerCore": 0},  # the table is the whole machine's
            "oomScoreAdj": 0,
        }
        self.start_daemon(self.commands / "kube-proxy", f"--config={self._write_settings('kube-proxy', settings)}")

    def _start_names(self) -> None:
        kubeconfig = self.internal_kubeconfig("system:kube-proxy")
        self.sandbox.start([sys.executable, names.__file__, kubeconfig, NODE_ADDRESS], self.log("names"))

    def _write_settings(self, name: str, settings: dict[str, Any]) -> Path:
        path = self.directory / "node" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    def _is_node_ready(self) -> bool:
        nodes = self.request("GET", "/api/v1/nodes")["items"]
        conditions = [each for node in nodes for each in node["status"]["conditions"]]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _has_service_account(self) -> bool:
        accounts = self.request("GET", "/api/v1/namespaces/default/serviceaccounts")["items"]
        return any(each["metadata"]["name"] == "default" for each in accounts)
