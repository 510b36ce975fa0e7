"""Images in SQL: their rows, whom they are shared with, uploads, and the mirror of Image resources.

The row is there from the moment that somebody asks for an image. The Image resource is made when there is
data; from then on what the resource says (`records.fields_of`) is taken from it (`mirror`), and the rest
(tags, members' answers, checksums) is SQL's alone.
"""
