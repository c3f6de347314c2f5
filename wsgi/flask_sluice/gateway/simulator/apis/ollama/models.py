"""What Ollama's API tells of the models."""

from datetime import datetime, timedelta, timezone
from hashlib import sha256

from flask_sluice.gateway.simulator.apis.format import Json

CONTEXT_TOKENS = 128_000
_BYTES = 4_700_000_000
_LOADED_FOR = timedelta(minutes=5)
_DETAILS: Json = {
    "parent_model": "",
    "format": "gguf",
    "family": "sluice",
    "families": ["sluice"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_K_M",
}
_TEMPLATE = "{{ .Prompt }}"


class OllamaModels:
    """The models, which are as old as this worker, and always loaded.

    names: those that are accepted; none: any is
    default: what is listed where any name is accepted
    """

    def __init__(self, names: tuple[str, ...], default: str) -> None:
        self._names = names
        self._listed = [_with_tag(name) for name in names or (default,)]
        self._made_at = datetime.now(timezone.utc)

    def has(self, name: str) -> bool:
        """Return whether it is a model's name, with or without the tag that each has who names none."""
        return not self._names or _with_tag(name) in self._listed

    def listed(self) -> Json:
        """Return the answer of GET /api/tags."""
        return {
            "models": [
                {
                    "name": name,
                    "model": name,
                    "modified_at": self._made_at.isoformat(),
                    **_card(name),
                }
                for name in self._listed
            ]
        }

    def loaded(self) -> Json:
        """Return the answer of GET /api/ps."""
        expires_at = (datetime.now(timezone.utc) + _LOADED_FOR).isoformat()
        more = {"expires_at": expires_at, "size_vram": _BYTES, "context_length": CONTEXT_TOKENS}
        return {
            "models": [
                {"name": name, "model": name, **_card(name), **more} for name in self._listed
            ]
        }

    def described(self, name: str) -> Json:
        """Return the answer of POST /api/show."""
        return {
            "license": "MIT",
            "modelfile": f"FROM {name}\nTEMPLATE {_TEMPLATE}\n",
            "parameters": 'stop                           "<|end|>"',
            "template": _TEMPLATE,
            "details": _DETAILS,
            "model_info": {
                "general.architecture": "sluice",
                "general.parameter_count": 8_000_000_000,
                "sluice.context_length": CONTEXT_TOKENS,
                "sluice.embedding_length": 768,
            },
            "capabilities": ["completion", "tools", "thinking", "vision", "insert", "embedding"],
            "modified_at": self._made_at.isoformat(),
        }


def _card(name: str) -> Json:
    return {"size": _BYTES, "digest": sha256(name.encode()).hexdigest(), "details": _DETAILS}


def _with_tag(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
