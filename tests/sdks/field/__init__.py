"""What the clients of the field make of each fault: the table in docs/simulator.md."""
