"""One row for each op of the package: where its arguments come from, and what is true of it."""
