"""``stream_with_context`` with each release of Flask that does it in its own way, between the oldest and the newest."""

import pytest

FILES = (
    *("tests/unit/test_stream_with_context.py", "tests/unit/test_flasks_wrapper.py"),
    "tests/unit/test_sse_response_request.py",
)
# The oldest and the newest are those of test_library.
RELEASES = {"2.2.0": "2.2.3", "2.3.0": "2.3.8", "3.0.0": "3.0.6", "3.1.0": "3.1.0"}
"""Flask's, each with a Werkzeug of its time."""


@pytest.mark.newest
@pytest.mark.parametrize("flask", RELEASES)
def test_contexts_are_those_of_the_request(environment, tree, tmp_path, flask):
    folder = tmp_path / "flask"
    environment.install_beside(folder, f"Flask=={flask}", f"Werkzeug=={RELEASES[flask]}")
    program = "import importlib.metadata; print(importlib.metadata.version('flask'))"
    found = environment.run("python", "-c", program, folder=tree, PYTHONPATH=str(folder))
    assert found.stdout.strip() == flask, found.stderr
    result = environment.run(
        *("python", "-m", "pytest", "-q", *FILES), folder=tree, PYTHONPATH=str(folder)
    )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr
