"""The site over one run or many: a leaderboard, a page a run, and a viewer of every sentence."""

from refseg.reports.site.write import Site, write_site

__all__ = ["Site", "write_site"]
