"""What the methods share that compress images and vectors.

::

    reading.py     an example as an array: the pixels of an image, the numbers of a row, what a backbone makes of a text
    shapes.py      arrays of any shape as tiles of one shape, and the few bytes that say which shape it was
    components.py  principal components of tiles
    entropy.py     whole numbers to bytes: what is frequent in the pool takes few bits
    quantised.py   a transform, its coefficients rounded and written; the step that meets a rate
    files.py       image files without the header that all files of one shape share
"""
