"""Whether an upstream is asked at present: by how requests to it end, and by health requests."""
