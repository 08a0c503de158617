"""The checks: a right solution, cases, and the mistakes to expect."""

from qlab.course.check import Exercise, Mistake, question

MEAN_SQUARE = Exercise(
    "mean_square",
    lambda v: sum(x * x for x in v) / len(v),
    # Each case is a tuple of arguments. Choose them so that every mistake
    # answers at least one wrongly, and no two answer all of them alike.
    cases=[([3.0, 4.0],), ([1.0, 2.0, 3.0],)],
    mistakes=[
        Mistake(
            "squared the mean",
            "In which order do the two words stand?",
            lambda v: (sum(v) / len(v)) ** 2,
        ),
        Mistake(
            "not divided",
            "A mean of how many numbers?",
            lambda v: sum(x * x for x in v),
        ),
    ],
)

WHICH_IS_LARGER = question(
    "which_is_larger",
    "b",
    {
        "a": "Try [3, 4]: 12.25 or 12.5?",
        "c": "They are equal only if all numbers are; try [3, 4].",
    },
)

EXERCISES = (MEAN_SQUARE,)
QUESTIONS = (WHICH_IS_LARGER,)
