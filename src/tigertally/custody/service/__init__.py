"""The authority's side of custody: it keeps what travels, counts, and tells who owes what."""
