"""Who may ask: API keys and tickets, wrong keys, hosts, origins."""
