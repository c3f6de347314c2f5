"""The streams that this process produces, and that Redis keeps."""
