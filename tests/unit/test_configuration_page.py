"""docs/configuration.md lists every setting as the settings describe themselves."""

import dataclasses
import inspect
import re

import pytest

from flask_sluice import Channels, Streams
from flask_sluice.extension.config import ExtensionConfig, read_config
from flask_sluice.gateway.environment import describe_settings
from flask_sluice.stream.options import SETTINGS, StreamOptions
from tests.support.readme import CONFIGURATION

OF_STREAMS, OF_EXTENSION = CONFIGURATION.split("\n## ")[1:]


def test_the_table_says_what_the_settings_say():
    rows = [
        f"| `{setting.variable}` | {setting.default or '–'} | {setting.meaning} | {setting.takes} |"
        for setting in describe_settings()
    ]
    shown = [line for line in CONFIGURATION.splitlines() if line.startswith("| `SLUICE_")]
    assert shown == rows


def test_the_table_of_an_apps_own_configuration_says_what_a_stream_takes():
    defaults = StreamOptions()
    assert rows_of(OF_STREAMS) == [
        (name, str(getattr(defaults, option.field)), option.takes)
        for name, option in SETTINGS.items()
    ]


def test_the_table_of_kept_streams_and_channels_says_what_the_extension_takes():
    assert rows_of(OF_EXTENSION) == [
        (f"SLUICE_{field.name.upper()}", default_of(field), told_on_a_mistake(field.name))
        for field in dataclasses.fields(ExtensionConfig)
    ]


def rows_of(section: str) -> list[tuple[str, str, str]]:
    """Return the name, the default and the accepted values of each row."""
    return re.findall(r"^\| (SLUICE_\w+) \| (\S+) \| .* \| (.*) \|$", section, re.MULTILINE)


def default_of(field: dataclasses.Field) -> str:
    """Return what is the case without the setting: the default of the argument that it is given to, or its own."""
    of_streams = inspect.signature(Streams).parameters
    of_channels = inspect.signature(Channels).parameters
    argument = of_streams.get(field.name) or of_channels.get(field.name.removeprefix("channel_"))
    default = argument.default if argument else field.default
    return f"{default:g}" if isinstance(default, float) else str(default)


def told_on_a_mistake(field: str) -> str:
    """Return which values a setting accepts, as its error says."""
    name = f"SLUICE_{field.upper()}"
    with pytest.raises(ValueError, match=f"^{name} takes ") as error:
        read_config({name: []})
    return str(error.value).removeprefix(f"{name} takes ").removesuffix(", got []")
