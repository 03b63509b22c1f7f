"""From a face that was cut out to an expression."""
