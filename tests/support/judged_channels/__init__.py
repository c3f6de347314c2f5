"""Channels that are published in, with readers that come and go, while a test disturbs Redis; and a judgement of what they received."""
