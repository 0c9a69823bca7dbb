"""Feedback into the ERP: what became of each event, posted in the background for the ERP's users to see."""

from workers.feedback.feedback import Feedback
from workers.feedback.metrics import FeedbackMetrics
from workers.feedback.poster import Poster, posting

__all__ = ["Feedback", "FeedbackMetrics", "Poster", "posting"]
