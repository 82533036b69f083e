"""Analysis of a trained student and its teacher: students, teachers and batches in, plain data out."""

from nounroll.analysis.analyze import Analysis, analyze

__all__ = ["Analysis", "analyze"]
