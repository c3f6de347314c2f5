"""The browser client as an npm package: packed, installed into an empty project, imported and type-checked there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import flask_sluice
from tests.support.server import ROOT

HERE = Path(__file__).parent
CLIENT = ROOT / "static" / "js" / "fetch-event-source"
TSC = HERE / "node_modules" / ".bin" / "tsc"
TIMEOUT_SECONDS = 50

READS_A_STREAM = """\
import { createServer } from "node:http";
import { FetchEventSource } from "sluice-fetch-event-source";
import { EventParser } from "sluice-fetch-event-source/event-parser.js";

const server = createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" }).end(`data: ${request.method}\\n\\n`);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
for await (const { data } of new FetchEventSource(`http://127.0.0.1:${server.address().port}/`, { method: "POST" })) {
  console.log(data);
}
server.close();
new EventParser({ onEvent: ({ data }) => console.log(data) }).feed(new TextEncoder().encode("data: parsed\\n\\n"));
"""

# Each @ts-expect-error is itself an error if the line after it is correct.
USES_THE_TYPES = """\
import { FetchEventSource, FetchEventSourceError, type ErrorKind, type FetchEventSourceOptions }
  from "sluice-fetch-event-source";
import { EventParser, type ServerSentEvent } from "sluice-fetch-event-source/event-parser.js";

const options: FetchEventSourceOptions = {
  method: "POST",
  body: { question: "Why?" },
  headers: async () => ({ Authorization: "Bearer key" }),
  reconnect: "on-error",
};
const source = new FetchEventSource(new URL("http://127.0.0.1/"), options);
source.onmessage = ({ data, lastEventId }) => console.log(data.toUpperCase(), lastEventId.length);
source.onerror = (event) => {
  const kind: ErrorKind | null = event instanceof MessageEvent ? null : event.kind;
  console.log(kind, event instanceof MessageEvent ? event.data : event.status?.toFixed());
};
source.addEventListener("tick", ({ data }) => console.log(data.toUpperCase()));
source.addEventListener("error", (event) => console.log("willRetry" in event && event.willRetry));
try {
  for await (const event of source) console.log(event.data.length);
} catch (error) {
  if (error instanceof FetchEventSourceError) console.log(error.headers?.get("Retry-After"), error.delay?.toFixed());
}
const parser = new EventParser({ onEvent: (event: ServerSentEvent) => console.log(event.retry?.toFixed()) });
parser.feed(new Uint8Array());

// @ts-expect-error: an unknown mode
new FetchEventSource("/", { reconnect: "often" });
// @ts-expect-error: readyState cannot be set
source.readyState = 0;
// @ts-expect-error: text is not bytes
parser.feed("data: x");

export {};
"""


def run(*command: str | Path, folder: Path) -> str:
    program = shutil.which(str(command[0]))
    if program is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up(f"{command[0]} is not installed; tests/install-system-packages and npm install it")
    result = subprocess.run(
        [program, *map(str, command[1:])],
        cwd=folder,
        check=False,
        timeout=TIMEOUT_SECONDS,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project into which the packed client is installed."""
    folder = tmp_path_factory.mktemp("project")
    packed = run("npm", "pack", "--json", "--pack-destination", folder, folder=CLIENT)
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    tarball = json.loads(packed)[0]["filename"]
    run("npm", "install", "--offline", "--no-audit", "--no-fund", f"./{tarball}", folder=folder)
    return folder


def test_the_package_can_be_imported_and_reads_a_stream(project: Path) -> None:
    (project / "program.js").write_text(READS_A_STREAM)
    assert run("node", "program.js", folder=project) == "POST\nparsed\n"


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["bundler", "nodenext"])
def test_typescript_checks_a_program_that_uses_the_package(project: Path, resolution: str) -> None:
    (project / "program.ts").write_text(USES_THE_TYPES)
    module = "esnext" if resolution == "bundler" else "nodenext"
    options = ["--module", module, "--moduleResolution", resolution, "--target", "es2022"]
    libraries = ["--lib", "es2022,dom,dom.iterable,dom.asynciterable", "--types", ""]
    run(TSC, "--strict", "--noEmit", *options, *libraries, "program.ts", folder=project)


@pytest.mark.slow
def test_the_types_are_those_that_typescript_makes_of_the_modules(tmp_path: Path) -> None:
    run(TSC, "-p", "tsconfig.types.json", "--outDir", tmp_path, folder=HERE)
    generated = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (CLIENT / "types").iterdir()}
    assert kept == generated, "run `npm run types` in tests/node"


def test_the_package_has_the_version_and_the_license_of_the_project() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert package["version"] == flask_sluice.__version__
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
