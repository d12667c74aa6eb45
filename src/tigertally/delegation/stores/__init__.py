"""Where objects are kept. A store is never trusted: it may lose, swap and keep old ones."""
