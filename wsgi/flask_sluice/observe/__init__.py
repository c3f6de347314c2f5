"""What the streams of a process have done: counters, log lines, and their export to Prometheus."""
