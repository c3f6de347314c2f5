"""The gateway: an OpenAI-compatible server in front of another one, or a simulator of one."""
