"""Wire formats: pure functions between one protocol's JSON and the neutral types. No I/O."""
