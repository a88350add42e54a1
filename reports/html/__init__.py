"""The HTML leaderboard: many runs against one baseline, in one file that opens without a network.

`ReportContent` is the content of the page, `assemble` makes one from runs, and `write` writes the page to disk. The
page has no style attributes, no event handlers and no addresses of other files; its one style sheet and its
one script are listed by hash in a Content-Security-Policy that allows nothing else.
"""

from ssl4rl_bench.reports.html.page import render_page, write
from ssl4rl_bench.reports.html.report import ReportContent, assemble

__all__ = ["ReportContent", "assemble", "render_page", "write"]
