"""From PyTorch to INT8 LiteRT files, with cards that say what they are."""
