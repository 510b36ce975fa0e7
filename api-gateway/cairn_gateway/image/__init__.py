"""Images: the Image API v2 (Glance's) and the two places where images can be.

`builtin` keeps rows in SQL, files in a `blobs` store, and an Image resource for each image that has data.
`glance` asks an external Glance. `backend.make_images` chooses; `api.image_api` serves.
"""
