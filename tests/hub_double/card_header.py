"""What the Hub accepts as the header of a card."""

from __future__ import annotations

import re

import yaml

from tests.hub_double.messages import Request, Response, json_response


def validate_yaml(request: Request) -> Response:
    """Check the metadata of a card."""
    block = re.match(r"---\r?\n(.*?)\n---", request.json()["content"], re.DOTALL)
    try:
        metadata = yaml.safe_load(block[1]) if block else None
    except yaml.YAMLError as error:
        return json_response({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return json_response({"errors": [], "warnings": warnings})
