"""The authority's side of rosters and tallies: it relays, counts and executes; it never votes."""
