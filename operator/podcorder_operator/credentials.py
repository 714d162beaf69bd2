"""How the API server is reached: KUBECONFIG, the pod's service account, or ~/.kube/config, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

from podcorder_operator.errors import CredentialsMissing


async def load_configuration(environment: Mapping[str, str]) -> Configuration:
    """Address and credentials; a pod's token is read again every minute. Raises CredentialsMissing."""
    file = environment.get("KUBECONFIG", "")
    configuration = Configuration()
    try:
        if not file and environment.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(configuration)
        else:
            file = file or str(Path.home() / ".kube" / "config")
            await load_kube_config(file, client_configuration=configuration, persist_config=False)
    except Exception as error:  # of a broken file the client raises whatever it stumbles over
        where = file or "the pod's service account"
        raise CredentialsMissing(
            f"No API server can be reached with {where} ({_flatten(error)}): "
            "run in a pod with a service account, or set KUBECONFIG to a kubeconfig."
        ) from error
    return configuration


def _flatten(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
