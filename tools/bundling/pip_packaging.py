"""Versions and requirements: the distribution `packaging`, or where it is missing the copy inside of pip."""

try:
    from packaging.markers import Marker
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name, parse_wheel_filename
    from packaging.version import InvalidVersion, Version
except ImportError:
    from pip._vendor.packaging.markers import Marker
    from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
    from pip._vendor.packaging.specifiers import SpecifierSet
    from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename
    from pip._vendor.packaging.version import InvalidVersion, Version

__all__ = [
    "InvalidRequirement",
    "InvalidVersion",
    "Marker",
    "Requirement",
    "SpecifierSet",
    "Version",
    "canonicalize_name",
    "parse_wheel_filename",
]
