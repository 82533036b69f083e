"""A student as one step that other programs can run."""

from nounroll.export.export import FORMATS, ExportError, export

__all__ = ["FORMATS", "ExportError", "export"]
