"""Networks of the tests: a file each, as in `edge_fer.lab.networks`."""
