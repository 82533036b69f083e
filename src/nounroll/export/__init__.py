"""Export of one step of a student to other programs."""

from nounroll.export.export import FORMATS, ExportError, export, export_checked

__all__ = ["FORMATS", "ExportError", "export", "export_checked"]
