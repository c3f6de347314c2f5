"""The fixture ``llm`` in the tests of another project."""
