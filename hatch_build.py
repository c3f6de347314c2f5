"""Puts the demo page and the browser client into the wheel, beside the gateway that serves them."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):
    """Copies ``static`` and ``templates`` into the package.

    An editable install gets no copy, which would be stale after the next edit: the gateway then finds the folders of the
    checkout.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            for folder in ("static", "templates"):
                build_data["force_include"][folder] = f"flask_sluice/gateway/{folder}"
