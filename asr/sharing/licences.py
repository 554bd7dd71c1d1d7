"""Identifiers of licences: those of SPDX, and those that the Hugging Face hub knows.

packaging has the list of SPDX. ONNX Runtime needs packaging too, so it is there in each installation.
"""

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from asr.errors import AsrError

# https://huggingface.co/docs/hub/repositories-licenses, without `other` and `unknown`. Most are SPDX in lower case.
_HUB = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigcode-openrail-m", "bigscience-bloom-rail-1.0",
    "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc",
    "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
    "creativeml-openrail-m", "deepfloyd-if-license", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1",
    "gemma", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "llama2",
    "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "openrail++", "osl-3.0",
    "pddl", "postgresql", "unlicense", "wtfpl", "zlib",
}  # fmt: skip
_OWN = "LicenseRef-"  # begins an identifier of SPDX for a licence that is not in its list


def parse_licence(text: str, option: str) -> str:
    """Return an identifier as SPDX writes it, such as `CC-BY-4.0`, or an identifier of the hub.

    Raises AsrError for any other text; `option` is the option of the command line that gave the text.
    """
    try:
        found = str(canonicalize_license_expression(text))
        if " " not in found:
            return found
    except InvalidLicenseExpression:
        if text.lower() in _HUB:
            return text.lower()
    raise AsrError(
        f"{option} {text}: is no identifier of a licence; write one of https://spdx.org/licenses, such as CC-BY-4.0 or "
        f"CC-BY-NC-SA-4.0, or {_OWN}NAME for a licence of your own"
    )


def is_own(licence: str) -> bool:
    """Return whether a licence is in no list, so that a reader needs a link to its text."""
    return licence.startswith(_OWN)


def is_spdx(licence: str) -> bool:
    """Return whether a licence is in the list of SPDX."""
    try:
        return not is_own(str(canonicalize_license_expression(licence)))
    except InvalidLicenseExpression:
        return False


def hub_fields(licence: str, link: str | None) -> dict[str, str]:
    """Return the fields of the front matter of a card for a licence; `other` is one that the hub does not know."""
    if licence.lower() in _HUB:
        return {"license": licence.lower()}
    named = {"license": "other", "license_name": licence.removeprefix(_OWN).lower()}
    return named if link is None else {**named, "license_link": link}
