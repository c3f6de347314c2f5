"""What every request is asked before its route runs: its proxies, origin, API key, rate and body; and error responses."""
