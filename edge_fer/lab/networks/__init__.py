"""The networks of the lab: one file each."""
