"""What every request is asked before its route runs: key, origin, rate, body; and how errors are answered."""
