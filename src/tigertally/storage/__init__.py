"""Where state rests: one interface, a store in memory, one on SQL, and the sealed view of both."""
