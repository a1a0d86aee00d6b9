"""What the Hub accepts as the header of a card, by its documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.servers.hub_double.messages import Json, Request, Response, json_response


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON_FIELDS = _words("datasets license license_link license_name metrics tags thumbnail")
GATE_FIELDS = _words(
    """
    extra_gated_button_content extra_gated_description extra_gated_fields extra_gated_heading extra_gated_prompt
    """
)
LANGUAGE_FIELDS = _words("language language_bcp47 language_creators language_details multilinguality")
FIELDS = {
    "dataset": COMMON_FIELDS
    | GATE_FIELDS
    | LANGUAGE_FIELDS
    | _words(
        """
        annotations_creators arxiv config_names configs dataset_info license_details paperswithcode_id pretty_name
        size_categories source_datasets task_categories task_ids train-eval-index viewer
        """
    ),
    "model": COMMON_FIELDS
    | GATE_FIELDS
    | LANGUAGE_FIELDS
    | _words(
        """
        arxiv base_model base_model_relation co2_eq_emissions inference library_name mask_token model-index model_name
        new_version pipeline_tag widget
        """
    ),
    # The last one is not documented, but `evaluate` gives it to the Space of a metric.
    "space": COMMON_FIELDS
    | _words(
        """
        app_build_command app_file app_port base_path colorFrom colorTo custom_headers disable_embedding emoji fullWidth
        header hf_oauth hf_oauth_authorized_org hf_oauth_expiration_minutes hf_oauth_scopes models pinned
        preload_from_hub python_version sdk sdk_version short_description startup_duration_timeout suggested_hardware
        suggested_storage title description
        """
    ),
}
"""Documented fields of each kind of repository; others are kept, and warned of."""

LICENSES = _words(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
    eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 h-research intel-research isc
    lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa
    odbl odc-by ofl-1.1 open-mdw openrail openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
    """
)
SIZE_CATEGORIES = _words(
    "n<1K 1K<n<10K 10K<n<100K 100K<n<1M 1M<n<10M 10M<n<100M 100M<n<1B 1B<n<10B 10B<n<100B 100B<n<1T n>1T"
)
LANGUAGE = re.compile("[a-z]{2,3}|code|multilingual")
"""Codes of ISO 639-1, -2 and -3, and the Hub's own; whether there is such a language is not checked."""


def validate_yaml(request: Request) -> Response:
    """Check the header of a card."""
    card = request.json()
    errors, warnings = check(card["content"], card.get("repoType") or "model")
    answer = {"errors": _messages(errors), "warnings": _messages(warnings)}
    return json_response(answer, 400 if errors else 200)


def _messages(texts: list[str]) -> list[Json]:
    return [{"message": text} for text in texts]


def check(content: str, kind: str) -> tuple[list[str], list[str]]:
    """What is wrong with the header of a card, and what is odd about it."""
    block = re.match(r"---\r?\n(.*?)^---", content, re.DOTALL | re.MULTILINE)
    try:
        header = yaml.safe_load(block[1]) if block else None
    except yaml.YAMLError as error:
        return [str(error)], []
    if header is None or header == {}:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(header, dict):
        return ["The metadata must be a mapping of fields to values"], []
    unknown = sorted(str(field) for field in header if field not in FIELDS[kind])
    return list(_errors(header)), [f'"{field}" is not a documented field of a {kind} card' for field in unknown]


def _errors(header: Json) -> Iterator[str]:
    for place, value in _values(header, "license"):
        if value not in LICENSES:
            yield f"{place} must be one of the Hub's license identifiers, not {value!r}"
    for place, value in _values(header, "size_categories"):
        if value not in SIZE_CATEGORIES:
            yield f"{place} must be one of the documented size categories, not {value!r}"
    for place, value in _values(header, "language"):
        if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
            yield f'{place} must be an ISO 639-1, 639-2 or 639-3 code, "code" or "multilingual", not {value!r}'
    if "configs" in header:
        yield from _config_errors(header["configs"])


def _values(header: Json, field: str) -> Iterator[tuple[str, Any]]:
    """The values of a field that takes one or a list, and where each stands."""
    value = header.get(field)
    if isinstance(value, list):
        yield from ((f'"{field}[{index}]"', one) for index, one in enumerate(value))
    elif value is not None:
        yield f'"{field}"', value


def _config_errors(configs: Any) -> Iterator[str]:
    if not isinstance(configs, list):
        yield '"configs" must be a list'
        return
    for index, config in enumerate(configs):
        place = f"configs[{index}]"
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            yield f'"{place}.config_name" is required'
        elif not _is_data_files(config.get("data_files", "")):
            yield f'"{place}.data_files" must be a path, or a list of paths or of splits with their paths'


def _is_data_files(value: Any) -> bool:
    return _is_paths(value) or (isinstance(value, list) and all(map(_is_split, value)))


def _is_paths(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(path, str) for path in value))


def _is_split(value: Any) -> bool:
    """Whether something is files of one split."""
    return isinstance(value, dict) and set(value) == {"split", "path"} and _is_paths(value["path"])
