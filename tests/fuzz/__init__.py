"""Random programs over the public API, run in both packages: nothing crashes, and both packages agree."""
