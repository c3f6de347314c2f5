"""The OpenAPI document of what the gateway serves, at /openapi.json."""
