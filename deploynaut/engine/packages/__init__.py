"""A revision made ready: built, digested, stored, laid out on targets, verified there, and removed again."""

from deploynaut.engine.packages.box import Damaged
from deploynaut.engine.packages.build import Build, BuildFailed
from deploynaut.engine.packages.manifest import BadManifest, Difference, Entry, Manifest, difference
from deploynaut.engine.packages.plans import How, Previous
from deploynaut.engine.packages.releases import (
    SCREEN_RELEASE,
    CleanedUp,
    CurrentIsNoLink,
    NotRemoved,
    ReleaseError,
    ReleaseMissing,
    SwitchFailed,
    clean_up,
    live,
    removable,
    remove,
    switch,
)
from deploynaut.engine.packages.room import NoRoom, TargetDisk
from deploynaut.engine.packages.store import Package, PackageStore, Source, StoreFull
from deploynaut.engine.packages.survey import Is, Present, Survey, survey
from deploynaut.engine.packages.upload import (
    LaidOut,
    ReleaseAltered,
    ReleaseInUse,
    lay_out,
    seed,
    verify,
)

__all__ = [
    "SCREEN_RELEASE",
    "BadManifest",
    "Build",
    "BuildFailed",
    "CleanedUp",
    "CurrentIsNoLink",
    "Damaged",
    "Difference",
    "Entry",
    "How",
    "Is",
    "LaidOut",
    "Manifest",
    "NoRoom",
    "NotRemoved",
    "Package",
    "PackageStore",
    "Present",
    "Previous",
    "ReleaseAltered",
    "ReleaseError",
    "ReleaseInUse",
    "ReleaseMissing",
    "Source",
    "StoreFull",
    "Survey",
    "SwitchFailed",
    "TargetDisk",
    "clean_up",
    "difference",
    "lay_out",
    "live",
    "removable",
    "remove",
    "seed",
    "survey",
    "switch",
    "verify",
]
