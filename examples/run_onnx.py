"""Run an exported text network with onnxruntime and numpy alone: python run_onnx.py FOLDER "prompt" 200"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(folder: str, prompt: str = "\n", length: str = "200") -> None:
    about = json.loads(Path(folder, "step.json").read_text())
    session = onnxruntime.InferenceSession(Path(folder, "step.onnx"), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    memory = np.array([about["initial_memory"]], dtype=np.float32)  # (1, K, d)
    logits = np.zeros((1, about["targets"]["n"]), dtype=np.float32)

    for byte in prompt.encode():  # reading: each byte changes the memory, which stays as large as it is
        memory, logits = session.run(None, {"inputs": np.array([byte]), "memory": memory})

    written = bytearray(prompt.encode())
    for _ in range(int(length)):  # writing: draw a byte, read it back in
        chances = np.exp((logits[0] - logits.max()) / 0.8, dtype=np.float64)
        byte = random.choice(len(chances), p=chances / chances.sum())
        written.append(byte)
        memory, logits = session.run(None, {"inputs": np.array([byte]), "memory": memory})
    print(written.decode(errors="replace"))


if __name__ == "__main__":
    main(*sys.argv[1:])
