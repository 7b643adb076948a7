"""The report: one page about a cell and its gradients."""

from .page import report
from .subject import Subject, SubjectError, subject

__all__ = ["Subject", "SubjectError", "report", "subject"]
