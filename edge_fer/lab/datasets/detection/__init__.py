"""Pictures in which every face has a box and an expression, for training and measuring detectors.

`scenes` makes them of a data set's face crops; the other files read sets in the layouts of their owners. torch is not
needed here.
"""
