"""The package name of the published Valley2 code, kept so that its imports keep working."""
