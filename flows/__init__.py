"""Command line and Prefect flows; they call the two libraries and contain no algorithm."""
