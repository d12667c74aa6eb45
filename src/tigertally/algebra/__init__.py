"""Mathematics below any protocol: fields, groups, polynomials, tags and transcripts."""
