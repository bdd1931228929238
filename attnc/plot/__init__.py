"""Pictures of masks: `panels.py` finds what they show, `figure.py` and `text.py` draw it."""

from attnc.plot.panels import Panel, Plot, find_plot

__all__ = ["Panel", "Plot", "find_plot"]
