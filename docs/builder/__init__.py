"""What makes the documentation site: the runner of the pages' code, and the writers of the generated pages."""
