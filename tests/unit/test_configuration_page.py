"""docs/configuration.md lists every setting as the settings describe themselves."""

from flask_sluice.gateway.environment import describe_settings
from tests.support.readme import CONFIGURATION


def test_the_table_says_what_the_settings_say():
    rows = [
        f"| `{setting.variable}` | {setting.default or '–'} | {setting.meaning} | {setting.takes} |"
        for setting in describe_settings()
    ]
    shown = [line for line in CONFIGURATION.splitlines() if line.startswith("| `SLUICE_")]
    assert shown == rows
