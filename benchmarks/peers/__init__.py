"""The smallest sensible relay in each of what Sluice is compared with."""
