"""The official clients of each API, against the simulator."""
