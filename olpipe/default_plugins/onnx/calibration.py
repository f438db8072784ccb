"""The text with which the sizes of keys and values are measured: prose, speech, code, data, and several languages."""

TEXT = """\
The old lighthouse stands on a rock at the end of the bay. Every evening, about an hour before sunset, two fishermen \
row out to it with bread, lamp oil and the newspaper of the day before. "Has anything happened?" asks the keeper. \
"Nothing at all," they say, and all three of them laugh, because that is what they say every time.

photo: two dogs (center), frisbee (left), four people (right), traffic light, bench, bicycle
{"title": "Two dogs play with a frisbee", "tags": ["dog", "park", "summer"], "count": 2, "score": 0.87, "alt": null}

def mean(values):
    if not values:
        raise ValueError("there are no values")
    return sum(values) / len(values)  # the usual mean

1. Heat 250 g of butter in a pan, at 180 °C.
2. Add 3 eggs, 1/2 cup of sugar and a pinch of salt.
3. Stir for 10 to 12 minutes; then let it cool.

| year | price | change |
|------|-------|--------|
| 2019 | 1,204.50 | +3.2% |
| 2020 | 987.00 | -18.1% |

Question: What is the capital of France, and how many people live there?
Answer: The capital of France is Paris. About 2.1 million people live in the city itself.

Am nächsten Morgen lag Schnee auf den Dächern, und die Straßen waren still. La lluvia empezó a caer antes del \
mediodía. Le train part à huit heures et demie. 東京は日本の首都です。Он вернулся домой поздно вечером.
The integral of x^2 from 0 to 1 is 1/3. See https://example.org/index.html?page=4 or write to info@example.org.
"""
