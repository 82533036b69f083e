"""A student as one step that other programs can run."""

from nounroll.export.export import FORMATS, ExportError, export, export_checked

__all__ = ["FORMATS", "ExportError", "export", "export_checked"]
