"""The upstream side: connections, requests, answers."""
