"""How sure is sure enough; measured with `benchmarks/quality.py`, where each lies on a plateau.

All values here are part of the perceiver's version.
"""

REVISION = 3
"""Goes up when code, not a value, changes what is seen."""

TAG_SCORE = 0.22
"""A detection this sure is worth a tag."""

OBJECT_SCORE = 0.26
"""A detection this sure is worth a box: a wrong box costs more trust than a wrong word."""

MAX_OVERLAP = 0.5
"""Two boxes of one class that overlap by more than this are taken for one thing."""

MAX_OVERLAP_ANY = 0.8
"""Two boxes of any classes that overlap by more than this are taken for one thing with two names."""

NAME_SCORE = 0.5
"""A class of the classifier this sure is worth a tag."""

GROUP_SCORE = 0.4
"""A kind or a place this sure is worth a tag; it rests on several classes."""

BREED_SCORE = 0.5
"""In the crop of a box, where the kind is known, a class this sure is worth a tag."""

CROPS = 3
"""Boxes that the classifier looks at: the largest of things that have finer names."""

DARK = 0.15
"""A photo is of the night whose mean brightness, in 0..1, is less; so dark are no greens."""

GREEN = 0.5
"""There is greenery where more than this share of the lower half is green."""

COLOURFUL = 0.18
"""A colour counts whose weakest part lies this share below its strongest."""

GREY = 0.02
"""A photo is black and white whose mean distance of the strongest from the weakest part, in 0..1, is less."""
