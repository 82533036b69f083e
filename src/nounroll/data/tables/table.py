"""Table: sequences in a file of rows and columns, by the roles of its columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nounroll.data.checks import whole_number
from nounroll.data.files import first_names
from nounroll.data.sequences import Sequences
from nounroll.data.sources import optional
from nounroll.data.tables.arguments import arguments, split
from nounroll.data.tables.columns import KINDS, Column, column
from nounroll.data.tables.layout import laid_out
from nounroll.data.tables.reading import from_frame, read_table
from nounroll.data.tables.roles import Roles, assigned
from nounroll.data.tables.ts import CASE, LABEL
from nounroll.notices import notice

_WINDOW = 256
_FILE = "(file)"  # a column that tells the rows of two files apart


class Table(Sequences):
    """Sequences in a table (CSV, Parquet, Arrow, JSON lines, .ts), by the roles of its columns.

    ::

        file      id,time,sales,offer,kind      roles   id: id, time: time, target: sales, future: offer
                  a,2020-01-01,5.1,0,big
                  a,2020-01-02,5.7,1,big        inputs  (5.1, 1)  ...      sales, and the offer of the next day
                  b,2020-01-01,0.2,0,small      targets 5.7       ...      the sales of the next day

    ``nounroll data FILE`` shows what is understood of a file. The roles: ``id`` tells sequences apart; ``time`` is when
    a row is; ``target`` is predicted at each step and, where it is ahead, read up to now; or ``label`` at the end of
    each sequence; ``input`` is known up to now, ``future`` one step ahead, ``static`` is the same in a whole sequence;
    ``group`` keeps sequences in one part, ``part`` names it; ``steps`` are the columns of a table with a sequence in
    each row, ``series`` those with a sequence in each column ("first:last" is a run of columns); ``ignore`` is left
    out. Where no column is named as input, all others that can be are inputs.

    Sequences with labels are split at random, by group or by part; with targets, in time: the held-out steps are after
    those of training, and read those before them without scoring them again. Nothing is sorted, dropped or filled in: a
    missing value is told to the network (see ``nounroll.Sequences``).

    Args:
        path: the file; CSV, JSON and .ts may be packed by gzip, bzip2, xz or zip.
        roles: role -> the name of a column, or a list of names.
        types: column -> number, category or time, where the guess is wrong.
        test: another such file, which is the test part; ``path`` is then split into the two others.
        split: shares of the train, validation and test parts.
        ahead: steps from what is read to the target; 0 predicts it from the inputs of its own step.
        window: longest piece, in steps, that sequences with targets are cut into.
        freq: the time from one row to the next, an offset of pandas ("D", "MS") or a whole number, which is checked.
        weights: "balanced" reads each class equally often in training.
        delimiter, decimal: of a CSV file, guessed when None.
        dates: how dates are written, such as "%d.%m.%Y", guessed when None.
        seed: of the split.
    """

    def __init__(
        self,
        *,
        path: str | Path,
        roles: dict[str, str | list[str]] | None = None,
        types: dict[str, str] | None = None,
        test: str | Path | None = None,
        split: list[float] | None = None,
        ahead: int = 1,
        window: int = _WINDOW,
        freq: str | int | None = None,
        weights: str | None = None,
        delimiter: str | None = None,
        decimal: str | None = None,
        dates: str | None = None,
        seed: int = 0,
    ) -> None:
        _check_numbers(ahead, window, freq, seed)
        where = f"table.path '{path}'"
        table, decimal = read_table("table.path", path, delimiter, decimal)
        count = table.num_rows
        if test is not None:
            other, _ = read_table("table.test", test, delimiter, decimal)
            table = _joined(where, table, f"table.test '{test}'", other)
        if roles is None and LABEL in table.column_names and CASE in table.column_names:
            roles = {"id": CASE, "label": LABEL}
        self._understand(where, table, count, roles, types, split, ahead, window, freq, weights, decimal, dates, seed)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        roles: dict[str, str | list[str]] | None = None,
        *,
        types: dict[str, str] | None = None,
        split: list[float] | None = None,
        ahead: int = 1,
        window: int = _WINDOW,
        freq: str | int | None = None,
        weights: str | None = None,
        dates: str | None = None,
        seed: int = 0,
    ) -> "Table":
        """The same of a data frame in memory, whose index is not read."""
        _check_numbers(ahead, window, freq, seed)
        task, table = cls.__new__(cls), from_frame(frame)
        task._understand(
            "frame", table, len(frame), roles, types, split, ahead, window, freq, weights, None, dates, seed
        )
        return task

    def _understand(
        self,
        where: str,
        table: Any,
        count: int,
        roles: dict[str, str | list[str]] | None,
        types: dict[str, str] | None,
        shares: list[float] | None,
        ahead: int,
        window: int,
        freq: str | int | None,
        weights: str | None,
        decimal: str | None,
        dates: str | None,
        seed: int,
    ) -> None:
        """Read the columns of a table and make sequences of them.

        Args:
            count: rows before those of the test part, all where there is none.
        """
        self.columns, self.roles = columns(where, table, roles or {}, types or {}, decimal or ".", dates)
        rows = self.rows = table.num_rows
        self._say_guesses(where)
        if count < rows and not self.roles["steps"] and all(one.kind != "list" for one in self.columns.values()):
            self._tell_files_apart(count, rows)
        found = self.layout = laid_out(where, self.columns, self.roles, freq)
        made = arguments(where, self.columns, self.roles, found, ahead)
        parted = split(where, self.columns, self.roles, found, ahead)
        if count < rows:
            parted = _with_test(where, found.first, count, shares, seed)
        elif "split" not in parted:
            parted["split"] = tuple(shares or (0.8, 0.1, 0.1))
        cut = None if self.roles["label"] else window
        try:
            super().__init__(**made, **parted, window=cut, weights=weights, seed=seed)
        except ValueError as error:  # of the sequences: it does not know the file
            raise ValueError(f"{where}: {error}") from None
        self.autoregressive = ahead == 1 and not self.roles["label"] and self.inputs == self.targets
        target = self.columns.get(self.roles["target"][0]) if self.autoregressive and self.roles["target"] else None
        self.names = list(target.categories) if target is not None else []

    def _say_guesses(self, where: str) -> None:
        guessed = [f"{name} is {role}" for name, role in self.roles.guessed.items()]
        left = [name for name in self.columns if self.roles.of(name) == "ignore" and name not in self.roles["ignore"]]
        said = [f"roles that were not given: {first_names(guessed)}"] if guessed else []
        said += [f"left out: {first_names(left)}"] if left else []
        if said:
            notice(f"{where}: {'; '.join(said)} (nounroll data shows all)")

    def _tell_files_apart(self, count: int, rows: int) -> None:
        """Sequences of the test file are others than those of the same id before it."""
        which = (np.arange(rows) >= count).astype(np.float64)
        self.columns[_FILE] = Column(_FILE, "number", which, 0, whole=True)
        self.roles = Roles({**self.roles.columns, "id": (*self.roles["id"], _FILE)}, self.roles.guessed)

    def speech(self) -> dict[str, Any]:
        return super().speech() | ({"names": self.names} if self.names else {})

    def speak(self, kept: Mapping[str, Any]) -> None:
        super().speak(kept)
        self.names = list(map(str, kept.get("names", [])))

    def encode(self, text: str) -> Tensor:
        if not self.names:
            return super().encode(text)
        unknown = [word for word in text.split() if word not in self.names]
        if unknown:
            raise ValueError(f"prompt has {unknown[0]!r}; the task has {', '.join(self.names[:20])}")
        return torch.tensor([self.names.index(word) for word in text.split()], dtype=torch.int64)

    def decode(self, values: Tensor) -> str:
        return " ".join(self.names[one] for one in values.tolist()) if self.names else super().decode(values)


def _check_numbers(ahead: int, window: int, freq: str | int | None, seed: int) -> None:
    whole_number("table.ahead", ahead, 0)
    whole_number("table.window", window, 2)
    whole_number("table.seed", seed, 0, 2**32 - 1)
    if freq is not None and not isinstance(freq, str):
        whole_number("table.freq", freq, 1)


def columns(
    where: str,
    table: Any,
    roles: Mapping[str, str | list[str]],
    types: Mapping[str, str],
    decimal: str,
    dates: str | None,
) -> tuple[dict[str, Column], Roles]:
    """The columns of a table and their roles; one of the role ignore is not read."""
    for name, kind in types.items():
        if name not in table.column_names:
            raise ValueError(f"table.types names the column {name!r}; {where} has {', '.join(table.column_names)}")
        if kind not in KINDS[:3]:
            raise ValueError(f"table.types gives {name!r} the type {kind!r}; it must be {', '.join(KINDS[:3])}")
    wanted = dict(types)
    if isinstance(roles.get("time"), str):
        wanted.setdefault(str(roles["time"]), "time")
    ignored = roles.get("ignore", [])
    skipped = {ignored} if isinstance(ignored, str) else set(ignored)
    found = {}
    for name in table.column_names:
        if name in skipped:
            found[name] = Column(name, "empty", np.zeros(0), 0)
        else:
            found[name] = column(where, name, table[name], decimal=decimal, wanted=wanted.get(name), dates=dates)
    assert found
    settled = assigned(where, roles, found)
    name = settled.one("time")
    if name is not None and found[name].kind != "time":  # guessed by its name
        found[name] = column(where, name, table[name], decimal=decimal, wanted="time", dates=dates)
    return found, settled


def _joined(where: str, table: Any, other: str, test: Any) -> Any:
    """Both tables below each other."""
    pa = optional("pyarrow", where, "tables")
    if table.column_names != test.column_names:
        raise ValueError(
            f"{other} has the columns {', '.join(test.column_names)}; {where} has {', '.join(table.column_names)}"
        )
    try:
        return pa.concat_tables([table, test], promote_options="permissive")
    except pa.ArrowException as error:
        raise ValueError(
            f"{other} and {where} differ in the types of columns ({' '.join(str(error).split())[:160]})"
        ) from None


def _with_test(where: str, first: np.ndarray, count: int, shares: list[float] | None, seed: int) -> dict[str, Any]:
    """The part of each sequence, where those that begin at row ``count`` or later are the test part."""
    before = int((first < count).sum())
    train, validation = (shares or [0.8, 0.1, 0.1])[:2]
    held = max(1, round(before * validation / (train + validation)))
    if before < 2:
        raise ValueError(
            f"{where} holds {before} sequences; two are needed beside table.test, one to choose the network by"
        )
    order = np.random.RandomState(seed).permutation(np.flatnonzero(first < count))
    parts = np.where(first < count, "train", "test").astype(object)
    parts[order[:held]] = "validation"
    return {"split": parts.tolist()}
