"""A member's side of rosters and tallies: sync, propose, vote, remember, audit."""
