"""The devices' side of custody: holders and requesters."""
