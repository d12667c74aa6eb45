"""The tally: who may, who asked, who agreed. Knows no capability; all four build on it."""
