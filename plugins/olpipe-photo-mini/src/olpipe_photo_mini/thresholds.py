"""How sure is sure enough. The thresholds were measured with `benchmarks/quality.py`: slightly other ones do as well.

All values here are part of the perceiver's version.
"""

REVISION = 4
"""Raise it when code, and none of these values, changes what is found."""

LEAST_SCORE = 0.15
"""Detections with a lower score of the detector are never looked at."""

NEUTRAL = 0.05
"""The probability at which the classifier speaks neither for nor against a name."""

LARGEST_SHARE = 0.05
"""Things that fill more of the photo than this are no surer for it. Smaller things are less sure."""

TAG_WEIGHTS = (2.67, 0.96, -0.51, 0.33, 4.91)
"""How likely a name of the detector is right. The features are those of `chances.Sighting`.

All weights are a logistic regression on 49 photos of COCO 2017, 33 of which have boxes. A name is right if it is
annotated or if a caption mentions it. In the 16 photos without boxes, a name is also right if a look at the photo
confirms it. Each photo was then judged by weights that were fitted without it: of the names with a chance of at least
0.8, 73 of 78 were right, between 0.6 and 0.8 5 of 8, between 0.4 and 0.6 10 of 26, and below 0.2 6 of 37. The features
and all thresholds were chosen on the same photos. On 11 photos that nothing was chosen by, chances are too high: of all
tags with at least 0.8, 26 of 33 were right, between 0.6 and 0.8 4 of 6, and below 0.6 5 of 16.
"""

BOX_WEIGHTS = (2.85, 0.86, -0.73, 0.63, 5.49)
"""How likely a box is right: a thing of this name is annotated, and the boxes overlap by half (33 photos).

At least 0.8: 50 of 56 were right; between 0.6 and 0.8: 21 of 30; between 0.4 and 0.6: 10 of 24; below 0.2: 21 of 198.
"""

NAME_WEIGHTS = (1.18, 1.17)
"""How likely a class of the classifier is right, by the logit of its probability.

The 49 photos were judged by one look at small copies of them, with the networks' answers in view, beside captions and
annotations. At least 0.8: 9 of 12 were right; between 0.6 and 0.8: 9 of 12; between 0.4 and 0.6: 12 of 20.
"""

SUM_WEIGHTS = (1.3, 2.27)
"""The same for the sum over the classes of a kind, a place, a family or a group.

At least 0.8: 50 of 55 were right; between 0.6 and 0.8: 16 of 23; between 0.4 and 0.6: 13 of 20.
"""

TAG_SCORE = 0.25
"""A name of the detector with at least this chance becomes a tag."""

OBJECT_SCORE = 0.3
"""A box with at least this chance becomes an object. A box fails more easily than a name: it must also fit."""

MAX_OVERLAP = 0.5
"""Two boxes of one class whose intersection over union is larger than this are taken for one thing."""

MAX_OVERLAP_ANY = 0.8
"""Two boxes of any classes with a larger intersection over union are taken for one thing with two names."""

NAME_SCORE = 0.7
"""A name from the classifier with at least this chance becomes a tag."""

KIND_SCORE = 0.7
"""A kind or a place with at least this chance becomes a tag."""

GROUP_SCORE = 0.6
"""A family or a group with at least this chance becomes a tag, if it is also `WIDER_GAIN` surer than all others."""

WIDER_GAIN = 0.1
"""How much surer than every other name a family or a group must be. A photo of a cat needs no `animal`."""

LEAST_CLASS = 0.01
"""Classes with a lower probability are not added up. A photo of nothing known gives a little to every class."""

BREED_SCORE = 0.75
"""A finer name with at least this chance becomes a tag. The classifier sees only a box of a known kind."""

SMALLEST_CROP = 64
"""A box with a shorter side than this, in pixels that were decoded, is too small for a finer name."""

CROPS = 3
"""How many boxes the classifier looks at: the largest ones of kinds that have finer names."""

FLAT = 0.03
"""A photo whose brightness, in 0..1, has a smaller standard deviation shows hardly anything, so it has no tones."""

DARK = 0.15
"""A photo with a lower mean brightness, in 0..1, was taken at night. Pixels as dark as this do not count as green."""

LIT = 0.35
"""Pixels with a higher brightness are lit."""

LAMPS = 0.06
"""At night, at most this share of the photo is lit. A portrait before a dark background has more."""

GREEN = 0.5
"""There is greenery where more than this share of the photo's lower half is green."""

COLOURFUL = 0.18
"""A pixel counts as green only if its weakest colour is weaker than green by more than this share of green."""

GREY = 0.02
"""A photo is black and white if its strongest and weakest colours, in 0..1, differ by less than this on average."""
