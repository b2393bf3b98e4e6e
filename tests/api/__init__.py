"""End-to-end tests of the API, against a running server."""
