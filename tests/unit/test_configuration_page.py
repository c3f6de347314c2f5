"""docs/configuration.md lists every setting as the settings describe themselves."""

import re

from flask_sluice.gateway.environment import describe_settings
from flask_sluice.stream.options import SETTINGS, StreamOptions
from tests.support.readme import CONFIGURATION


def test_the_table_says_what_the_settings_say():
    rows = [
        f"| `{setting.variable}` | {setting.default or '–'} | {setting.meaning} | {setting.takes} |"
        for setting in describe_settings()
    ]
    shown = [line for line in CONFIGURATION.splitlines() if line.startswith("| `SLUICE_")]
    assert shown == rows


def test_the_table_of_an_apps_own_configuration_says_what_a_stream_takes():
    defaults = StreamOptions()
    shown = re.findall(r"^\| (SLUICE_\w+) \| (\S+) \| .* \| (.*) \|$", CONFIGURATION, re.MULTILINE)
    assert shown == [
        (name, str(getattr(defaults, option.field)), option.takes)
        for name, option in SETTINGS.items()
    ]
