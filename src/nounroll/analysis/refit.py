"""Readout fitted to the teacher's memories, to measure them independently of the student's readout.

DMT and BPTT train the readout on the student's memories. With this readout the teacher's memories can look worse than
they are, even worse than the student's.
"""

import copy

import torch

from nounroll.core.batch import apart
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask, draw
from nounroll.models.student import Student
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.chunks import at_once
from nounroll.teacher import Teacher

_TOKENS, _ROWS = 32_768, 64  # time steps of the training sequences together, sequences drawn at a time
_STEPS, _MINIBATCH, _RATE = 200, 1024, 1e-3


def refit(student: Student, teacher: Teacher, task: SequenceTask, length: int, seed: int) -> Student:
    """Copy the student and train its readout further on the teacher's memories of training sequences."""
    reader = copy.deepcopy(student)
    memories, targets = [], []
    for index in range(max(1, _TOKENS // (length * _ROWS))):
        batch = apart(draw(task, _ROWS, length, seed, "refit", index))[0]
        with torch.no_grad():
            memories.append(teacher.memories(batch.inputs)[:, 1:][batch.mask])
        targets.append(batch.targets[batch.mask])
    seen, wanted, source = torch.cat(memories), torch.cat(targets), generator(seed, "refit")
    if not len(seen):
        return reader
    optimizer = torch.optim.Adam(reader.head.parameters(), lr=_RATE)
    count = min(_MINIBATCH, at_once(student.targets.readout_size), len(seen))
    for _ in range(_STEPS):
        rows = torch.randint(len(seen), (count,), generator=source)
        outputs = reader.readout(seen[rows])
        loss = negative_log_likelihood(student.targets, outputs, wanted[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return reader
