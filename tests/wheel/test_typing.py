"""Types: a user's program is checked with mypy --strict against the installed wheel."""

import subprocess
import sys

from tests.wheel.environments import environment_variables


def test_mypy_strict_takes_a_users_program_and_sees_its_one_mistake(environment, project):
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *("--config-file", "/dev/null", "--python-executable", str(environment.python)),
            "typed.py",
        ],
        cwd=project,
        env=environment_variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = (project / "typed.py").read_text().splitlines()
    (number,) = [at for at, line in enumerate(wrong, 1) if "the one line that is wrong" in line]
    (error,) = [line for line in result.stdout.splitlines() if ": error:" in line]
    assert error.startswith(f"typed.py:{number}: error: ")
    assert error.endswith("[arg-type]")
