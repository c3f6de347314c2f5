"""The routes of the APIs that the simulator answers, where no upstream is configured."""
