"""Act with an exported policy, by onnxruntime, numpy and gymnasium alone: python act_onnx.py FOLDER CartPole-v1 0,2

The last argument says which numbers of an observation the policy sees; all when left out.
"""

import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime


def main(folder: str, name: str = "CartPole-v1", shown: str = "", episodes: str = "5") -> None:
    about = json.loads(Path(folder, "step.json").read_text())
    session = onnxruntime.InferenceSession(Path(folder, "step.onnx"), providers=["CPUExecutionProvider"])
    places = [int(place) for place in shown.split(",") if place] or slice(None)
    env = gymnasium.make(name)
    for seed in range(int(episodes)):
        memory = np.array([about["initial_memory"]], dtype=np.float32)  # (1, K, d): the episode begins anew
        observation, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            inputs = np.asarray(observation, dtype=np.float32).reshape(1, -1)[:, places]
            memory, logits = session.run(None, {"inputs": inputs, "memory": memory})
            observation, reward, ended, cut, _ = env.step(int(logits.argmax()))
            total, done = total + float(reward), ended or cut
        print(f"episode {seed}: return {total:g}")
    env.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
