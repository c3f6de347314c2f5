"""How the doctor learns what the server has seen: from its reports, its metrics, or its list of slots."""
