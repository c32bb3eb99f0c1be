"""The machine: config, towers, connectors, their composition with a decoder, and the verifier."""
