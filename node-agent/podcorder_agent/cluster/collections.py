"""Where the API server has the nodes' configs: a newer Podcorder may serve them in a newer version alone."""

from __future__ import annotations

from podcorder_agent.cluster.api import Api
from podcorder_crds import API_VERSION

GROUP = API_VERSION.partition("/")[0]


class ConfigCollection:
    """In this agent's own version while that is served; then in the one that the API server prefers."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.api_version = API_VERSION

    @property
    def path(self) -> str:
        return f"/apis/{self.api_version}/noderecordingconfigs"

    def find(self) -> str:
        """The path, after a look at what is served now. Raises ApiError."""
        group = self._api.get(f"/apis/{GROUP}")
        served = {each.get("groupVersion") for each in group.get("versions", ())}
        preferred = group.get("preferredVersion", {}).get("groupVersion")
        self.api_version = API_VERSION if API_VERSION in served or not preferred else str(preferred)
        return self.path
