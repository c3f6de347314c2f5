"""What readers are given while Redis fails, on each of the ways in which it is run; docs/redis.md has it as a table."""
