"""Which parts of a face an answer rests on."""
