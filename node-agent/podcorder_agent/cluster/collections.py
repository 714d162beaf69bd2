"""Where the API server has the objects of a kind: a newer Podcorder may serve them in a newer version alone."""

from __future__ import annotations

from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.errors import NotFound
from podcorder_crds import API_VERSION

GROUP = API_VERSION.partition("/")[0]
CONFIGS = "noderecordingconfigs"
SESSIONS = "recordedsessions"


class Collection:
    """In this agent's own version while that is served; then in the one that the API server prefers of the others."""

    def __init__(self, api: Api, plural: str) -> None:
        self._api = api
        self._plural = plural
        self.api_version = API_VERSION

    @property
    def path(self) -> str:
        """Of all namespaces."""
        return f"/apis/{self.api_version}/{self._plural}"

    def path_in(self, namespace: str) -> str:
        """Of one namespace."""
        return f"/apis/{self.api_version}/namespaces/{namespace}/{self._plural}"

    def find(self) -> str:
        """The path, after a look at what is served now. Raises ApiError."""
        versions = self._api.get(f"/apis/{GROUP}").get("versions", ())
        for api_version in (API_VERSION, *(str(each.get("groupVersion")) for each in versions)):
            if self._is_served(api_version):
                self.api_version = api_version
                break
        return self.path

    def _is_served(self, api_version: str) -> bool:
        """Other kinds of the group may be served in a version that this one has left."""
        try:
            resources = self._api.get(f"/apis/{api_version}").get("resources", ())
        except NotFound:
            return False
        return any(each.get("name") == self._plural for each in resources)
