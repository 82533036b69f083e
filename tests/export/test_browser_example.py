"""The browser example writes what the network writes.

The package onnxruntime-web stays out of the gate: in its place ``stand_in_ort.mjs`` lets onnxruntime run the step here.
With the folder of the real one in ONNXRUNTIME_WEB (``npm install onnxruntime-web``), the page runs with that too.
"""

import codecs
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nounroll.export.step import Step
from nounroll.models.student import Student

PAGE = Path(__file__).resolve().parents[2] / "examples" / "browser"
STAND_IN = Path(__file__).with_name("stand_in_ort.mjs")
REAL = os.environ.get("ONNXRUNTIME_WEB")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROMPT = "It was"


class Server(ThreadingHTTPServer):
    """The page, the exported network and the runtime, as a user has them in one folder; and onnxruntime at /run."""

    daemon_threads = True

    def __init__(self, exported: Path, runtime: Path) -> None:
        import onnxruntime

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.folders = {"/export/": exported, "/node_modules/onnxruntime-web/": runtime, "/": PAGE}
        self.session = onnxruntime.InferenceSession(exported / "step.onnx", providers=["CPUExecutionProvider"])


class Handler(SimpleHTTPRequestHandler):
    timeout = 20
    server: Server

    def translate_path(self, path: str) -> str:
        start = next(start for start in self.server.folders if path.startswith(start))
        return str(self.server.folders[start] / path.removeprefix(start))

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        feeds = {name: np.array(one["data"], one["type"]).reshape(one["dims"]) for name, one in sent.items()}
        found = self.server.session.run(["next_memory", "logits"], feeds)
        named = zip(("next_memory", "logits"), found, strict=True)
        body = json.dumps({name: {"data": one.ravel().tolist(), "dims": one.shape} for name, one in named}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(bytes_folder: Path, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "dist").mkdir()
    shutil.copy(STAND_IN, tmp_path / "dist" / "ort.wasm.min.mjs")
    with Server(bytes_folder, tmp_path) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def in_node(server: Server, script: str) -> Any:
    """What a script in Node.js prints, with ``network`` opened."""
    start = f"""
        import {{ open }} from {json.dumps((PAGE / "generate.mjs").as_uri())};
        import * as ort from {json.dumps(STAND_IN.as_uri())};
        ort.at("{server.address}");
        const network = await open(ort, "{server.address}/export");
        const all = async (symbols) => {{
            const found = [];
            for await (const one of symbols) found.push(one);
            return found;
        }};
        const print = (value) => console.log(JSON.stringify(value));
    """
    command = ["node", "--input-type=module", "--eval", start + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def greedy(student: Student, prompt: str, count: int) -> list[int]:
    return student.generate(torch.tensor([list(prompt.encode())]), count, temperature=0)[0].tolist()


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js")


@needs_node
def test_greedy_is_the_networks(server: Server, bytes_student: Student) -> None:
    written, size = in_node(server, f"print([await all(network.write('{PROMPT}', 40, 0)), network.memory.size])")
    assert written == greedy(bytes_student, PROMPT, 40)
    assert size == bytes_student.empty_memory.numel()


@needs_node
def test_control_a_memory_that_is_not_kept_is_seen(server: Server, bytes_student: Student) -> None:
    forgets = """
        const [empty, read] = [network.memory, network.read.bind(network)];
        network.read = (symbol) => { network.memory = empty; return read(symbol); };
    """
    written = in_node(server, f"{forgets} print(await all(network.write('{PROMPT}', 40, 0)))")
    assert written != greedy(bytes_student, PROMPT, 40)


@needs_node
def test_draws_follow_the_probabilities(server: Server, bytes_student: Student) -> None:
    chances = np.random.default_rng(0).random(20).tolist()
    step, memory, expected = Step(bytes_student), bytes_student.initial_memory(1), []
    for symbol in PROMPT.encode():
        memory, logits = step(torch.tensor([symbol]), memory)
    for chance in chances:
        summed = (logits[0].double() / 0.8).softmax(0).cumsum(0)
        expected.append(int((summed <= chance).sum()))
        memory, logits = step(torch.tensor([expected[-1]]), memory)
    script = f"const chances = {chances}; print(await all(network.write('{PROMPT}', 20, 0.8, () => chances.shift())))"
    assert in_node(server, script) == expected


@needs_node
def test_a_network_of_something_else_is_refused(server: Server) -> None:
    script = """
        globalThis.fetch = async (path) => ({ ok: path.startsWith("there"), json: async () => ({ inputs: { n: 5 } }) });
        const said = (folder) => open(ort, folder).catch((error) => error.message);
        print([await said("nowhere"), await said("there")]);
    """
    missing, other = in_node(server, script)
    assert missing.startswith("there is no nowhere/step.json")
    assert "does not read bytes" in other


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: none of chromium, chromium-browser, google-chrome found")
@pytest.mark.parametrize(
    "runtime", ["stand-in", pytest.param("real", marks=pytest.mark.skipif(not REAL, reason="no ONNXRUNTIME_WEB"))]
)
def test_the_page_in_chromium(server: Server, bytes_student: Student, runtime: str) -> None:
    tools = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if runtime == "real":
        server.folders["/node_modules/onnxruntime-web/"] = Path(str(REAL))
    asked: list[str] = []
    with tools.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.address + "/index.html")
        page.wait_for_selector("#said:text('Ready.')")
        page.fill("#prompt", PROMPT)
        page.fill("#temperature", "0")
        page.click("button")
        page.wait_for_selector("#said:text('400 bytes')")
        written = page.text_content("#text")
        browser.close()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    assert written == PROMPT + decoder.decode(bytes(greedy(bytes_student, PROMPT, 400)))
    assert all(url.startswith(server.address) for url in asked)
    assert sum(url.endswith("/run") for url in asked) == (len(PROMPT) + 400 if runtime == "stand-in" else 0)
