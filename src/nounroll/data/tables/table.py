"""Table: sequences in a file of rows and columns, by the roles of its columns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nounroll.core.notices import notice
from nounroll.data.checks import whole_number
from nounroll.data.features import after_first
from nounroll.data.files import first_names
from nounroll.data.sequences import Sequences
from nounroll.data.sources import optional
from nounroll.data.tables.arguments import arguments
from nounroll.data.tables.columns import KINDS, Column, column
from nounroll.data.tables.horizon import without_horizon
from nounroll.data.tables.layout import laid_out
from nounroll.data.tables.reading import from_frame, read_table
from nounroll.data.tables.roles import Roles, assigned
from nounroll.data.tables.splitting import split, with_test
from nounroll.data.tables.ts import CASE, LABEL

_FILE = "(file)"  # a column that tells the rows of two files apart


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of ``Table`` that are not of a file."""

    roles: dict[str, str | list[str]] | None = None
    types: dict[str, str] | None = None
    split: list[float] | None = None
    ahead: int = 1
    window: int = 256
    freq: str | int | None = None
    weights: str | None = None
    decimal: str = "."
    dates: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        whole_number("table.ahead", self.ahead, 0)
        whole_number("table.window", self.window, 2)
        whole_number("table.seed", self.seed, 0, 2**32 - 1)
        if self.freq is not None and not isinstance(self.freq, str):
            whole_number("table.freq", self.freq, 1)

    @property
    def shares(self) -> tuple[float, ...]:
        return (0.8, 0.1, 0.1) if self.split is None else tuple(self.split)


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
        window: int = 256,
        freq: str | int | None = None,
        weights: str | None = None,
        delimiter: str | None = None,
        decimal: str | None = None,
        dates: str | None = None,
        seed: int = 0,
    ) -> None:
        options = Options(
            roles=roles,
            types=types,
            split=split,
            ahead=ahead,
            window=window,
            freq=freq,
            weights=weights,
            dates=dates,
            seed=seed,
        )
        where = f"table.path '{path}'"
        table, sign = read_table("table.path", path, delimiter, decimal)
        count = table.num_rows
        if test is not None:
            other, _ = read_table("table.test", test, delimiter, decimal)
            table = _joined(where, table, f"table.test '{test}'", other)
        if roles is None and LABEL in table.column_names and CASE in table.column_names:
            options = replace(options, roles={"id": CASE, "label": LABEL})
        self._understand(where, table, count, replace(options, decimal=sign))

    @classmethod
    def from_frame(cls, frame: Any, roles: dict[str, str | list[str]] | None = None, **options: Any) -> "Table":
        """The same of a data frame in memory, whose index is not read; ``options`` are those that are not of a file."""
        task = cls.__new__(cls)
        task._understand("frame", from_frame(frame), len(frame), Options(roles=roles, **options))
        return task

    def _understand(self, where: str, table: Any, count: int, options: Options) -> None:
        """Read the columns of a table and make sequences of them.

        Args:
            where: the table is, for errors.
            table: of pyarrow.
            count: rows before those of the test part, all where there is none.
            options: of the task.
        """
        self.where, self.ahead, self.freq = where, options.ahead, options.freq
        self.columns, self.roles = columns(where, table, options)
        rows = self.rows = table.num_rows
        self._say_guesses(where)
        if count < rows and not self.roles["steps"] and all(one.kind != "list" for one in self.columns.values()):
            self._tell_files_apart(count, rows)
        found = self.layout = self.whole = laid_out(where, self.columns, self.roles, options.freq)
        if options.ahead == 1 and not self.roles["label"]:
            found = self.layout = without_horizon(self.columns, self.roles, found)
        made = arguments(where, self.columns, self.roles, found, options.ahead)
        self.gaps = _gaps(made["inputs"].values)
        future = made.get("future")
        self.future_gaps = _gaps(after_first(future)) if future else self.gaps[:0]
        parted = split(where, self.columns, self.roles, found, options.ahead)
        if count < rows:
            parted = with_test(where, found.first, count, options.shares, options.seed)
        elif "split" not in parted:
            parted["split"] = options.shares
        cut = None if self.roles["label"] else options.window
        try:
            super().__init__(**made, **parted, window=cut, weights=options.weights, seed=options.seed)
        except ValueError as error:  # of the sequences: it does not know the file
            raise ValueError(f"{where}: {error}") from None
        self.autoregressive = options.ahead == 1 and not self.roles["label"] and self.inputs == self.targets
        target = self.columns.get(self.roles["target"][0]) if self.autoregressive and self.roles["target"] else None
        self.names = list(target.categories) if target is not None else []

    def sequence(self, i: int) -> Tensor:
        """Build the network's inputs of sequence ``i``, (T, d), in all of its parts."""
        return self._inputs.split()[i]

    def with_values(self, rows: Float[Tensor, "T d"], values: Float[Tensor, "T k"]) -> Float[Tensor, "T d"]:
        """Build inputs from the values of the first columns, with nan where one is missing."""
        return _with(rows, values, 0, self.gaps)

    def with_future(self, rows: Float[Tensor, "T d"], values: Float[Tensor, "T f"]) -> Float[Tensor, "T d"]:
        """Build inputs from the values of the columns of the role future, with nan where one is missing."""
        return _with(rows, values, len(self.gaps) + int(self.gaps.sum()), self.future_gaps)

    def _say_guesses(self, where: str) -> None:
        guessed = [f"{name} is {role}" for name, role in self.roles.guessed.items()]
        left = [name for name in self.columns if self.roles.of(name) == "ignore" and name not in self.roles["ignore"]]
        said = [f"roles that were not given: {first_names(guessed)}"] if guessed else []
        said += [f"left out: {first_names(left)}"] if left else []
        if said:
            notice(f"{where}: {'; '.join(said)} (nounroll data shows all)")

    def _tell_files_apart(self, count: int, rows: int) -> None:
        """Tell sequences of the test file apart from sequences with the same id before it."""
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


def _gaps(values: Tensor) -> Bool[Tensor, "d"]:
    """Find the columns with missing values."""
    return values.isnan().any(0) if values.is_floating_point() else torch.zeros(0, dtype=torch.bool)


def _with(
    rows: Float[Tensor, "T d"], values: Float[Tensor, "T k"], start: int, gaps: Bool[Tensor, "e"]
) -> Float[Tensor, "T d"]:
    """Put values into the columns from ``start`` on, and after all e of these the flags of those with gaps."""
    rows, missing, count = rows.clone(), values.isnan(), values.shape[-1]
    gaps, flags = gaps[:count], start + len(gaps)
    rows[..., start : start + count] = torch.where(missing, rows[..., start : start + count], values)
    rows[..., flags + gaps.cumsum(0)[gaps] - 1] = missing[..., gaps].to(rows)
    return rows


def columns(where: str, table: Any, options: Options) -> tuple[dict[str, Column], Roles]:
    """The columns of a table and their roles; one of the role ignore is not read."""
    roles, wanted = options.roles or {}, dict(options.types or {})
    for name, kind in wanted.items():
        if name not in table.column_names:
            raise ValueError(f"table.types names the column {name!r}; {where} has {', '.join(table.column_names)}")
        if kind not in KINDS[:3]:
            raise ValueError(f"table.types gives {name!r} the type {kind!r}; it must be {', '.join(KINDS[:3])}")
    if isinstance(roles.get("time"), str):
        wanted.setdefault(str(roles["time"]), "time")
    ignored = roles.get("ignore", [])
    skipped = {ignored} if isinstance(ignored, str) else set(ignored)

    def read(name: str, kind: str | None) -> Column:
        return column(where, name, table[name], decimal=options.decimal, wanted=kind, dates=options.dates)

    nothing = np.zeros(0)
    found = {
        name: Column(name, "empty", nothing, 0) if name in skipped else read(name, wanted.get(name))
        for name in table.column_names
    }
    settled = assigned(where, roles, found)
    name = settled.one("time")
    if name is not None and found[name].kind != "time":  # guessed by its name
        found[name] = read(name, "time")
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
