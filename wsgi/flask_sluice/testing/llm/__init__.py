"""A simulated language model server in a process of its own, for the tests of its clients."""
