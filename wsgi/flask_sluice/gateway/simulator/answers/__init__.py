"""What the simulator answers: decided whole before the first token is sent."""
