"""Grafana in Compose dials nobody: what is documented as turned off is turned off."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT: dict[str, str] = yaml.safe_load((REPOSITORY / "compose" / "compose.yaml").read_text(encoding="utf-8"))[
    "services"
]["grafana"]["environment"]
SECTION = (REPOSITORY / "docs" / "dashboards.md").read_text(encoding="utf-8").partition("### Grafana dials nobody")[2]
OFF = {
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_PLUGINS_PREINSTALL_AUTO_UPDATE": "false",
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    "GF_CLOUD_MIGRATION_ENABLED": "false",
    "GF_GEOMAP_ENABLE_CUSTOM_BASELAYERS": "false",
}
BASE_LAYER = "GF_GEOMAP_DEFAULT_BASELAYER_CONFIG"


@pytest.mark.parametrize("setting", OFF)
def test_what_grafana_would_dial_is_turned_off(setting: str) -> None:
    assert ENVIRONMENT[setting] == OFF[setting]


def test_the_map_has_no_tiles_of_others() -> None:
    layer = json.loads(ENVIRONMENT[BASE_LAYER])
    # Without an address of its own, this type takes one of Esri's.
    assert layer["type"] == "xyz"
    assert layer["config"]["url"].startswith("data:image/")


def test_the_documentation_lists_each_of_them_and_no_other() -> None:
    documented = set(re.findall(r"`(GF_\w+)`", SECTION.partition("\n## ")[0]))
    assert documented == {*OFF, BASE_LAYER}


def test_no_plugin_is_installed_at_the_start() -> None:
    assert not [name for name in ENVIRONMENT if name in ("GF_INSTALL_PLUGINS", "GF_PLUGINS_PREINSTALL_SYNC")]
