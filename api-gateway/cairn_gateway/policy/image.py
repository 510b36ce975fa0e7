"""Who may do what with the Image API: Glance's rule names and defaults."""

from __future__ import annotations

from cairn_gateway.policy.rules import ADMIN, admin, check, member, reader

_SEES = (
    "project_id:%(project_id)s or project_id:%(member_id)s or 'public':%(visibility)s or "
    "'community':%(visibility)s or 'shared':%(visibility)s"
)
_ANSWERS = f"{ADMIN} or role:member and (project_id:%(project_id)s or project_id:%(member_id)s)"

RULES = (
    member("add_image", "Make an image", "POST /v2/images"),
    member("delete_image", "Delete an image", "DELETE /v2/images/{image_id}"),
    check(
        "get_image",
        f"{ADMIN} or role:reader and ({_SEES})",
        "See an image that one has access to",
        "GET /v2/images/{image_id}",
    ),
    reader("get_images", "See the images that one has access to", "GET /v2/images"),
    member(
        "modify_image",
        "Change an image, and its tags",
        "PATCH /v2/images/{image_id}",
        "PUT /v2/images/{image_id}/tags/{tag}",
        "DELETE /v2/images/{image_id}/tags/{tag}",
    ),
    admin("publicize_image", "Make an image public", "POST /v2/images", "PATCH /v2/images/{image_id}"),
    member(
        "communitize_image",
        "Let everybody use an image who knows its id",
        "POST /v2/images",
        "PATCH /v2/images/{image_id}",
    ),
    check(
        "download_image",
        f"{ADMIN} or role:member and ({_SEES})",
        "Download an image's data",
        "GET /v2/images/{image_id}/file",
    ),
    member("upload_image", "Upload an image's data", "PUT /v2/images/{image_id}/file"),
    member("add_member", "Share an image with a project", "POST /v2/images/{image_id}/members"),
    member(
        "delete_member",
        "No longer share an image with a project",
        "DELETE /v2/images/{image_id}/members/{member_id}",
    ),
    reader(
        "get_member",
        "See a project that an image is shared with",
        "GET /v2/images/{image_id}/members/{member_id}",
    ),
    reader(
        "get_members", "See the projects that an image is shared with", "GET /v2/images/{image_id}/members"
    ),
    check(
        "modify_member",
        _ANSWERS,
        "Accept or reject an image that is shared with one's project",
        "PUT /v2/images/{image_id}/members/{member_id}",
    ),
    member("deactivate", "Take an image out of use", "POST /v2/images/{image_id}/actions/deactivate"),
    member("reactivate", "Take an image into use again", "POST /v2/images/{image_id}/actions/reactivate"),
)
