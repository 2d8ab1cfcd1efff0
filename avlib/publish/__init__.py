"""Publishing: execute, check, build and release the book (the ``avlib book`` commands).

Nothing here is imported by the rest of the library, and importing this package loads none of papermill, nbval or
sphinx: each command imports what it needs when it runs. Chapters use one thing from here,
``avlib.publish.quiz.show``.
"""
