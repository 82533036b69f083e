"""Data frames as files: CSV, Parquet or JSON, by the file extension."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nounroll.estimators.clock import pd
from nounroll.storage.files import write_bytes

ENDINGS = (".csv", ".parquet", ".json")


def check_ending(name: str, path: Path) -> None:
    """Raise ValueError unless the file extension is supported and its package is installed."""
    if path.suffix not in ENDINGS:
        raise ValueError(f"{name} is '{path}'; it must end in {', '.join(ENDINGS)}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(f"{name} is '{path}'; Parquet needs the package pyarrow: pip install pyarrow, or use .csv")


def write_frame(path: Path, frame: Any) -> None:
    """Write a frame without its index."""
    if path.suffix == ".parquet":
        data = frame.to_parquet(None, index=False)
    elif path.suffix == ".json":
        data = frame.to_json(None, orient="records", date_format="iso", double_precision=15).encode()
    else:
        data = frame.to_csv(None, index=False).encode()
    write_bytes(path, data)


def read_frame(name: str, path: Path, *, text_ids: bool) -> Any:
    """Read a long data frame from a file, with the column ``ds`` as dates or whole numbers.

    Args:
        name: the setting's name in errors.
        path: the file.
        text_ids: read ``unique_id`` as text, even if it looks like a number.

    Raises:
        ValueError: the file is missing or not such a table, or a time is invalid.
    """
    check_ending(name, path)
    kinds = {"unique_id": str} if text_ids else None
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".json":
            frame = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
        else:
            frame = pd.read_csv(path, dtype=kinds)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{name} '{path}' cannot be read: {' '.join(str(reason).split())[:200]}") from None
    if text_ids and "unique_id" in frame:
        frame["unique_id"] = frame["unique_id"].astype(str)
    if "ds" in frame and not pd.api.types.is_integer_dtype(frame["ds"]):
        frame["ds"] = _dates(f"{name} '{path}'", frame["ds"])
    return frame


def _dates(name: str, ds: Any) -> Any:
    try:
        return pd.to_datetime(ds)
    except (ValueError, TypeError) as error:
        for row, value in enumerate(ds):
            try:
                pd.to_datetime(value)
            except (ValueError, TypeError):
                raise ValueError(
                    f"{name}: column 'ds', row {row} is {value!r}; it must be a date such as 2024-01-31 12:00"
                ) from None
        raise ValueError(f"{name}: column 'ds': {' '.join(str(error).split())[:200]}") from None
