"""A benchmark of e-commerce and short video, generated: no picture of it is anybody's.

    words -> goods -> drawings -> cards, frames, strips -> tasks -> a table of 2,000 questions

The published counterparts of the Valley line (Ecom-VQA, Ecom-Caption) were never released. Anyone
can draw this one again, byte for byte, from its seed.
"""
