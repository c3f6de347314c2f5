"""Settings for the unit tests."""

from hypothesis import settings

# No deadline for a single example: on a busy machine any one of them may take long.
settings.register_profile("sluice", deadline=None)
settings.load_profile("sluice")
