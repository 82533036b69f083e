"""Train on a column of your own CSV file, and write on from its end: python own_tokens.py lights.csv state"""

import csv
import math
import sys
from typing import Any

import numpy as np
import torch

import nounroll
from nounroll.data.corpus import TokenCorpus


def main(path: str, column: str, **options: Any) -> None:
    with open(path, newline="") as file:
        words = [row[column] for row in csv.DictReader(file)]
    names = sorted(set(words))
    tokens = np.array([names.index(word) for word in words])

    task = TokenCorpus(tokens=tokens, symbols=len(names), name=path)  # the last tenth is held out
    run = nounroll.fit(task, cell="gru", length=64, **options)
    print(f"{run.metrics['bits']:.2f} bits a token; a guess among {len(names)} takes {math.log2(len(names)):.2f}")

    drawn = run.student.generate(torch.from_numpy(tokens)[None], 12, temperature=0)
    print("it goes on:", *(names[token] for token in drawn[0]))


if __name__ == "__main__":
    main(*sys.argv[1:], seconds=60)
