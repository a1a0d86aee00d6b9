"""Which handler answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.servers.hub_double import accounts, card_header, managing, reading, writing
from tests.servers.hub_double.messages import Request, Response

Handler = Callable[[Request], Response]
ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/api/whoami-v2", accounts.whoami),
    ("POST", "/api/validate-yaml", card_header.validate_yaml),
    ("POST", "/api/repos/create", managing.create_repository),
    ("DELETE", "/api/repos/delete", managing.delete_repository),
    ("GET", "/api/{kind}/{id}", reading.describe),
    ("GET", "/api/{kind}/{id}/revision/{revision}", reading.describe),
    ("PUT", "/api/{kind}/{id}/settings", managing.update_settings),
    ("GET", "/api/{kind}/{id}/refs", reading.list_refs),
    ("GET", "/api/{kind}/{id}/commits/{revision}", reading.list_commits),
    ("GET", "/api/{kind}/{id}/discussions", reading.list_discussions),
    ("GET", "/api/{kind}/{id}/tree/{revision}", reading.list_tree),
    ("GET", "/api/{kind}/{id}/tree/{revision}/{path}", reading.list_tree),
    ("POST", "/api/{kind}/{id}/paths-info/{revision}", reading.list_paths),
    ("POST", "/api/{kind}/{id}/branch/{revision}", managing.create_branch),
    ("POST", "/api/{kind}/{id}/tag/{revision}", managing.create_tag),
    ("DELETE", "/api/{kind}/{id}/{reference}/{revision}", managing.delete_reference),
    ("POST", "/api/{kind}/{id}/preupload/{revision}", writing.choose_upload_modes),
    ("POST", "/api/{kind}/{id}/commit/{revision}", writing.commit_files),
    ("POST", "/{page}{id}.git/info/lfs/objects/batch", writing.start_large_uploads),
    ("PUT", "/large-files/{oid}", writing.store_large_file),
    ("POST", "/large-files/{oid}/verify", writing.verify_large_file),
    ("GET", "/{page}{id}/resolve/{revision}/{path}", reading.resolve_file),
]
_PARTS = {
    "{kind}": "(?P<kind>models|datasets|spaces)",
    "{page}": "(?P<kind>datasets/|spaces/|)",
    "{id}": "(?P<id>[^/]+/[^/]+)",
    "{revision}": "(?P<revision>[^/]+)",
    "{reference}": "(?P<reference>branch|tag)",
    "{path}": "(?P<path>.*)",
    "{oid}": "(?P<oid>[0-9a-f]{64})",
}


def _pattern(template: str) -> re.Pattern[str]:
    """Expression for the paths of a route."""
    return re.compile("".join(_PARTS.get(part, re.escape(part)) for part in re.split(r"(\{\w+\})", template)))


PATTERNS = [(method, _pattern(template), handler) for method, template, handler in ROUTES]
