"""Wordings of questions and answers: the language that the small model is taught."""

from __future__ import annotations

import numpy as np

DECLINE = "I cannot tell from this picture."

PRICE = (
    "What is the price?",
    "How much does it cost?",
    "What does it cost?",
    "What is the current price?",
    "How much is it?",
    "Read the price.",
)
DISCOUNT = (
    "What is the discount?",
    "How large is the discount?",
    "How many percent off?",
    "What percentage is taken off?",
)
RATING = (
    "What is the rating?",
    "How is it rated?",
    "What rating does the product have?",
    "How many stars does it have?",
)
STOCK = (
    "Is it in stock?",
    "Is the product in stock?",
    "Is the product available?",
    "Can I buy it now?",
)
TITLE = (
    "What is the product called?",
    "What is the name of the product?",
    "What product is this?",
    "Read the title.",
)
WORD = (
    "What word is written?",
    "What does it say?",
    "Read the word.",
    "What is the word in the picture?",
    "What text is in the picture?",
    "Read the text.",
)
SCENE = (
    "What kind of picture is this?",
    "What does the picture show?",
    "What is this a picture of?",
)
COUNT = (
    "How many shapes are there?",
    "How many shapes are in the picture?",
    "Count the shapes.",
    "How many objects are there?",
)
COUNT_OF = (
    "How many {} are there?",
    "How many {} are in the picture?",
    "Count the {}.",
    "How many {} do you see?",
)
WHERE = (
    "Where is the {} relative to the {}?",
    "Where is the {} compared with the {}?",
    "On which side of the {1} is the {0}?",
)
IS_SIDE = (
    "Is the {} {} the {}?",
    "Does the {} lie {} the {}?",
)
SIDE_WORDS = {
    "left": "left of",
    "right": "right of",
    "above": "above",
    "below": "below",
}
COLOUR_OF = (
    "What color is the {}?",
    "What is the color of the {}?",
    "Which color does the {} have?",
)
SHAPE_OF = (
    "What shape is {}?",
    "Which shape is {}?",
    "What is the {} shape?",
)
PRESENT = (
    "Is there a {}?",
    "Is there a {} in the picture?",
    "Do you see a {}?",
)
BACKGROUND = ("What color is the background?", "Which color does the background have?")
DIRECTION = (
    "Which way does the shape move?",
    "In which direction does the shape move?",
    "Where is the shape moving?",
    "Which direction is the movement?",
)
MOVING = (
    "Is the shape moving or still?",
    "Does the shape move or stay still?",
    "Is anything moving?",
)
MOVING_SHAPE = ("What is moving?", "Which shape is moving?")
OPEN = (
    "What is this?",
    "What is in the picture?",
    "Describe the picture.",
    "What animal is this?",
    "Who is in the picture?",
    "Where was this taken?",
    "What is the person doing?",
    "How many people are there?",
    "Is it day or night?",
    "What is the weather like?",
    "What brand is it?",
    "Is there a car?",
    "What is on the table?",
    "How old is the person?",
    "What building is this?",
    "What food is this?",
)
ANSWERS = (
    DECLINE,
    "A product card.",
    "Colored shapes.",
    "A word.",
    "A clip of shapes.",
    "It is not moving.",
    "The {} {}.",
    *("Yes", "No", "Left", "Right", "Above", "Below", "Up", "Down", "Moving", "Still"),
)
"""Answers of one word have a capital, which makes them one token; texts that are read have none."""


def ask(rng: np.random.Generator, wordings: tuple[str, ...], *words: str) -> str:
    """One of the wordings with its gaps filled; sometimes without a capital or question mark."""
    text = wordings[int(rng.integers(len(wordings)))].format(*words)
    roll = rng.random()
    if roll < 0.1:
        return text[0].lower() + text[1:]
    if roll < 0.15:
        return text.rstrip("?.")
    return text


def template_words() -> list[str]:
    """Every word of the wordings above, as written, sorted."""
    groups = [value for value in globals().values() if isinstance(value, tuple)]
    texts = [text for group in groups for text in group] + [DECLINE, *SIDE_WORDS.values()]
    cleaned = " ".join(texts).replace("{0}", " ").replace("{1}", " ").replace("{}", " ")
    return sorted({word.strip("?.,") for word in cleaned.split()} - {""})
