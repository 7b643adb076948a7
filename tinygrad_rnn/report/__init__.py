"""The report: one page about a cell and its gradients, and the command that writes it."""

from .command import add_study
from .page import report
from .subject import Subject, SubjectError, subject

__all__ = ["Subject", "SubjectError", "add_study", "report", "subject"]
