"""The checks, a module for each group. ``check(examination)`` yields what it finds, as it finds it."""
