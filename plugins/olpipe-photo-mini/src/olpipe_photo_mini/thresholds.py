"""How sure is sure enough. The values were measured with `benchmarks/quality.py`: slightly other values do as well.

All values here are part of the perceiver's version.
"""

REVISION = 3
"""Raise it when code, and none of these values, changes what is found."""

TAG_SCORE = 0.22
"""A detection with at least this score becomes a tag."""

OBJECT_SCORE = 0.26
"""A detection with at least this score becomes an object with a box. A wrong box is worse than a wrong word."""

MAX_OVERLAP = 0.5
"""Two boxes of one class whose intersection over union is larger than this are taken for one thing."""

MAX_OVERLAP_ANY = 0.8
"""Two boxes of any classes with a larger intersection over union are taken for one thing with two names."""

NAME_SCORE = 0.5
"""A name from the classifier with at least this probability becomes a tag."""

GROUP_SCORE = 0.4
"""A kind or a place with at least this probability becomes a tag. It is lower, because it adds up several classes."""

BREED_SCORE = 0.5
"""A finer name with at least this probability becomes a tag. The classifier sees only a box of a known kind."""

CROPS = 3
"""How many boxes the classifier looks at: the largest ones of kinds that have finer names."""

DARK = 0.15
"""A photo with a lower mean brightness, in 0..1, was taken at night. Pixels as dark as this do not count as green."""

GREEN = 0.5
"""There is greenery where more than this share of the photo's lower half is green."""

COLOURFUL = 0.18
"""A pixel counts as green only if its weakest colour is weaker than green by more than this share of green."""

GREY = 0.02
"""A photo is black and white if its strongest and weakest colours, in 0..1, differ by less than this on average."""
