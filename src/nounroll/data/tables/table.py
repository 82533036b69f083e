"""Table: sequences in a file of rows and columns; each column has a role."""

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

_FILE = "(file)"  # a column that distinguishes the rows of two files


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``Table`` that do not concern the file."""

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
    """Sequences in a table (CSV, Parquet, Arrow, JSON lines, .ts), defined by the roles of its columns.

    ::

        file      id,time,sales,offer,kind      roles   id: id, time: time, target: sales, future: offer
                  a,2020-01-01,5.1,0,big
                  a,2020-01-02,5.7,1,big        inputs  (5.1, 1)  ...      sales, and the offer of the next day
                  b,2020-01-01,0.2,0,small      targets 5.7       ...      the sales of the next day

    ``nounroll data FILE`` shows how a file is read. The roles:

    - ``id`` identifies the sequence, ``time`` is the time of a row;
    - ``target`` is predicted at each step and, if ``ahead`` is at least 1, read up to now;
    - ``label`` is predicted at the end of each sequence;
    - ``input`` is known up to now, ``future`` one step ahead, ``static`` is constant within a sequence. If no column is
      an input, all suitable columns are;
    - ``group`` keeps sequences in one part, ``part`` names the part;
    - ``steps`` are the step columns of a table with one sequence per row, ``series`` the columns of a table with one
      sequence per column ("first:last" is a range of columns);
    - ``ignore`` is not used.

    Sequences with labels are split at random, by group or by part. Sequences with targets are split in time: held-out
    steps come after the training steps, and earlier steps are read without being scored again. Nothing is sorted,
    dropped or filled in silently; an input marks missing values (see ``nounroll.Sequences``).

    Args:
        path: the file; CSV, JSON and .ts may be compressed by gzip, bzip2, xz or zip.
        roles: role -> the name of a column, or a list of names.
        types: column -> number, category or time, to correct the guess.
        test: another such file for the test part; ``path`` is then split into training and validation.
        split: shares of the train, validation and test parts.
        ahead: steps from the inputs to the target; 0 predicts the target from the inputs of its own step.
        window: largest length in steps; longer sequences with targets are cut.
        freq: the step between rows, a pandas offset ("D", "MS") or a whole number; times are checked against it.
        weights: "balanced" reads each class equally often in training.
        delimiter, decimal: delimiter and decimal sign of a CSV file; guessed when None.
        dates: format of dates, such as "%d.%m.%Y"; guessed when None.
        seed: seed of the split.
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
        """Create the task from a data frame, without its index, or from an Arrow table.

        ``options`` are those of the class, except for the options of files.
        """
        task, table = cls.__new__(cls), from_frame(frame)
        task._understand("frame", table, table.num_rows, Options(roles=roles, **options))
        return task

    def _understand(self, where: str, table: Any, count: int, options: Options) -> None:
        """Convert the columns of a table to sequences.

        Args:
            where: the table's name in errors.
            table: a table of pyarrow.
            count: number of rows before the rows of ``test``; all rows without ``test``.
            options: options of the task.
        """
        self.where, self.ahead, self.freq = where, options.ahead, options.freq
        self.columns, self.roles = columns(where, table, options, count)
        rows = self.rows = table.num_rows
        self._say_guesses(where)
        if count < rows and not self.roles["steps"] and all(one.kind != "list" for one in self.columns.values()):
            self._tell_files_apart(count, rows)
        found = self.layout = self.whole = laid_out(where, self.columns, self.roles, options.freq)
        if options.ahead == 1 and not self.roles["label"]:
            found = self.layout = without_horizon(self.columns, self.roles, found)
        made = arguments(where, self.columns, self.roles, found, options.ahead)
        gaps = {
            name: _gaps(after_first(made[name]) if name == "future" else made[name].values)
            for name in ("inputs", "future", "static")
            if name in made
        }
        self.gaps = gaps["inputs"]
        self.future_gaps = gaps.get("future", self.gaps[:0])
        self.reads = _columns_read(made, gaps)
        self.predicts = list(made["targets"].columns) if "targets" in made else []
        parted = split(where, self.columns, self.roles, found, options.ahead)
        if count < rows:
            parted = with_test(where, found.first, count, options.shares, options.seed)
        elif "split" not in parted:
            parted["split"] = options.shares
        cut = None if self.roles["label"] else options.window
        try:
            super().__init__(**made, **parted, window=cut, weights=options.weights, seed=options.seed)
        except ValueError as error:  # ``Sequences`` does not know the file
            raise ValueError(f"{where}: {error}") from None
        self.autoregressive = options.ahead == 1 and not self.roles["label"] and self.inputs == self.targets
        target = self.columns.get(self.roles["target"][0]) if self.autoregressive and self.roles["target"] else None
        self.names = list(target.categories) if target is not None else []

    def speech(self) -> dict[str, Any]:
        """Return the names of the columns too, so that a run refuses a table with other ones."""
        return {**super().speech(), "reads": self.reads, "predicts": self.predicts}

    def speak(self, kept: Mapping[str, Any]) -> None:
        super().speak(kept)
        self.reads, self.predicts = (list(map(str, kept.get(name, []))) for name in ("reads", "predicts"))

    def sequence(self, i: int) -> Tensor:
        """Build the network's inputs of the whole sequence ``i``, (T, d)."""
        return self._inputs.split()[i]

    def with_values(self, rows: Float[Tensor, "T d"], values: Float[Tensor, "T k"]) -> Float[Tensor, "T d"]:
        """Build inputs from the values of the first columns, with nan for missing values."""
        return _with(rows, values, 0, self.gaps)

    def with_future(self, rows: Float[Tensor, "T d"], values: Float[Tensor, "T f"]) -> Float[Tensor, "T d"]:
        """Build inputs from the values of the future columns, with nan for missing values."""
        return _with(rows, values, len(self.gaps) + int(self.gaps.sum()), self.future_gaps)

    def _say_guesses(self, where: str) -> None:
        guessed = [f"{name} is {role}" for name, role in self.roles.guessed.items()]
        left = [name for name in self.columns if self.roles.of(name) == "ignore" and name not in self.roles["ignore"]]
        said = [f"roles that were not given: {first_names(guessed)}"] if guessed else []
        said += [f"left out: {first_names(left)}"] if left else []
        if said:
            notice(f"{where}: {'; '.join(said)} (nounroll data shows all)")

    def _tell_files_apart(self, count: int, rows: int) -> None:
        """Distinguish sequences of the test file from earlier sequences with the same id."""
        which = (np.arange(rows) >= count).astype(np.float64)
        self.columns[_FILE] = Column(_FILE, "number", which, 0, whole=True)
        self.roles = Roles({**self.roles.columns, "id": (*self.roles["id"], _FILE)}, self.roles.guessed)


def _columns_read(made: Mapping[str, Any], gaps: Mapping[str, Bool[Tensor, "d"]]) -> list[str]:
    """Name the network's inputs: columns, categories, and the columns whose missing values are marked."""
    found = list[str]()
    for name, marked in gaps.items():
        columns = made[name].columns
        found += [*columns, *(f"{columns[j]} is missing" for j in marked.nonzero().flatten().tolist())]
    return [*found, "missing"] if "observed" in made else found


def _gaps(values: Tensor) -> Bool[Tensor, "d"]:
    """Mark the columns with missing values."""
    return values.isnan().any(0) if values.is_floating_point() else torch.zeros(0, dtype=torch.bool)


def _with(
    rows: Float[Tensor, "T d"], values: Float[Tensor, "T k"], start: int, gaps: Bool[Tensor, "e"]
) -> Float[Tensor, "T d"]:
    """Put values into the columns from ``start`` on, and flags for columns with gaps after all e value columns."""
    rows, missing, count = rows.clone(), values.isnan(), values.shape[-1]
    gaps, flags = gaps[:count], start + len(gaps)
    rows[..., start : start + count] = torch.where(missing, rows[..., start : start + count], values)
    rows[..., flags + gaps.cumsum(0)[gaps] - 1] = missing[..., gaps].to(rows)
    return rows


def columns(where: str, table: Any, options: Options, count: int) -> tuple[dict[str, Column], Roles]:
    """Read the columns of a table and their roles; ignored columns are not read."""
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
    settled = assigned(where, roles, found, count)
    name = settled.one("time")
    if name is not None and found[name].kind != "time":  # the role was guessed from the name
        found[name] = read(name, "time")
    return found, settled


def _joined(where: str, table: Any, other: str, test: Any) -> Any:
    """Concatenate both tables."""
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
