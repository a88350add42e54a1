"""The HTML leaderboard: many runs against one baseline, in one file that opens without a network.

`Report` is what stands on the page, `assemble` makes one of runs, and `write` puts the page on disk. The page holds
no style attribute, no event handler and no address of another file; its one style sheet and its one script are
named by their hashes in a Content-Security-Policy that allows nothing else.
"""

from ssl4rl_bench.reports.html.page import render, write
from ssl4rl_bench.reports.html.report import Report, assemble

__all__ = ["Report", "assemble", "render", "write"]
