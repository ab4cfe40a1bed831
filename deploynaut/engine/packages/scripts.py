"""The fixed sh texts that work on a target. They start in the base path, and what varies arrives as `$1`, `$2`, …

They need sh, tar, coreutils and findutils. Work lies in `releases/.<number>.part` until it is verified, and its lists
in `.deploynaut/tmp`; what cannot be removed becomes `releases/.<number>.gone.<pid>`, for the next clean-up.
"""

from __future__ import annotations

_START = r"""
set -eu
umask 022
export LC_ALL=C
discard() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  gone="releases/.$2.gone.$$"
  mv -fT -- "$1" "$gone"
  find "$gone" -xdev -type d ! -perm -0700 -exec chmod u+rwx {} + 2>/dev/null || :
  rm -rf --one-file-system -- "$gone" 2>/dev/null || :
}
link_of() {
  found=$(readlink -n -- "$1" && printf x) || return 1
  found=${found%x}
}
"""

# Reads all that is below the working directory: of each path `kind mode path//target` (no path holds `//`), of each
# file its sha256 as sha256sum says it, every record ended by NUL. Sorted and hashed together they are the proof that
# `Manifest.proof` foretells ($2): then it says `same`. Else it says the records, with an empty one between the two
# kinds, and fails no command: what cannot be read has no sum, and so differs.
# openssl takes half the time where it is installed, but can only be trusted with names on one line. One child a core,
# for short ones end up on the same core; each writes a file of its own: lines of several into one pipe would mix.
_LIST = r"""
list() {
  rm -rf -- "$1"
  mkdir -p -m 0700 "$1/sums"
  : >"$1/sums/none"
  find . -mindepth 1 -path ./.deploynaut-release -prune -o -fprintf "$1/paths" '%y %m %P//%l\0' -type f \
    \( -path '*[
\\]*' -fprint0 "$1/odd" -o -fprint0 "$1/plain" \)
  batch='sha256sum -bz -- "$@" >>"$0/$$"'
  xargs -0 -r -n 2000 sh -c "$batch" "$1/sums" <"$1/odd" || [ $? -eq 123 ]
  case $(openssl dgst -sha256 -r /dev/null 2>/dev/null || :) in
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\ *)
      batch='openssl dgst -sha256 -r "$@" | tr "\\n" "\\0" >>"$0/$$"' ;;
  esac
  cores=$(nproc 2>/dev/null || echo 2)
  each=$(($(tr -cd '\0' <"$1/plain" | wc -c) / cores + 1))
  xargs -0 -r -s 1000000 -n "$each" -P "$cores" sh -c "$batch" "$1/sums" <"$1/plain" || [ $? -eq 123 ]
  proof=$({ sort -z -- "$1/paths" && sort -z -- "$1/sums"/*; } | sha256sum)
  if [ "${proof%% *}" = "$2" ]; then
    printf same
    return 0
  fi
  cat -- "$1/paths"
  printf '\0'
  cat -- "$1/sums"/*
  return 1
}
"""

SURVEY = (
    _START
    + r"""
mkdir -p -m 0755 releases
mkdir -p -m 0700 .deploynaut/tmp
if [ -n "${1-}" ]; then
  discard "releases/.$1.part" "$1"
  rm -rf -- ".deploynaut/tmp/lay.$1"
fi
stat -f -c '%a %S %d %c' releases
if [ -L current ]; then link_of current; printf 'link\0%s\0' "$found"; readlink -nf -- current || :; printf '\0'
elif [ -e current ]; then printf 'other\0\0\0'
else printf 'none\0\0\0'
fi
pwd -P
for path in releases/* releases/.*.gone.*; do
  [ -e "$path" ] || [ -L "$path" ] || continue
  kind=directory
  [ -d "$path" ] || kind=other
  [ ! -L "$path" ] || kind=link
  printf '%s\0%s\0' "$kind" "${path#releases/}"
  if [ "$kind" = directory ]; then head -c 300 -- "$path/.deploynaut-release" 2>/dev/null || :; fi
  printf '\0'
done
"""
)
"""$1: a release whose leftovers go, or nothing. Says: room; `current`; the base; each release with its note."""

LAY = (
    _START
    + _LIST
    + r"""
release=$1 how=$2 source=$3 removals=$4 note=$5 proof=$6
part="releases/.$release.part"
base=$(pwd -P)
lists="$base/.deploynaut/tmp/lay.$release"
trap 'rm -rf -- "$lists"' EXIT
case $how in
  full) discard "$part" "$release"; mkdir -m 0700 -- "$part" ;;
  copy) discard "$part" "$release"; cp -a --reflink=auto -T -- "releases/$source" "$part" || [ -d "$part" ] ;;
  recycle) discard "$part" "$release"; mv -T -- "releases/$source" "$part" ;;
  again) ;;
esac
cd -- "$part"
if [ "$how" != full ]; then
  rm -rf -- .deploynaut-release
  find . -xdev -mindepth 1 -type l -delete -o -type d ! -perm 0755 -exec chmod 0755 {} +
fi
head -c "$removals" | xargs -0 -r rm -rf --one-file-system --
tar -x -p -f - --no-same-owner --warning=no-timestamp --warning=no-unknown-keyword
printf '%s\n' "$note" >.deploynaut-release
chmod 0644 .deploynaut-release
if list "$lists" "$proof"; then
  cd -- "$base"
  [ ! -e "releases/$release" ] && [ ! -L "releases/$release" ] || { echo "releases/$release is there" >&2; exit 1; }
  chmod 0755 "$part"
  mv -T -- "$part" "releases/$release"
fi
"""
)
"""$1 release, $2 full|copy|recycle|again, $3 the release it starts from, $4 bytes of the list of removals at the head
of the input (the rest is a tar), $5 the release's note, $6 the proof. Says what `list` says; the part gets its name
only when it is proven. No link is there while it writes."""

DISCARD = (
    _START
    + r"""
discard "releases/.$1.part" "$1"
rm -rf -- ".deploynaut/tmp/lay.$1"
"""
)
"""$1: the release. What was laid out so far goes."""

LIST = (
    _START
    + _LIST
    + r"""
lists="$(pwd -P)/.deploynaut/tmp/list.$1.$$"
mkdir -p -m 0700 .deploynaut/tmp
trap 'rm -rf -- "$lists"' EXIT
cd -- "releases/$1"
list "$lists" "$2" || :
"""
)
"""$1: the release, $2 the proof. Says what `list` says of it."""

SEED = (
    _START
    + r"""
if [ -d "$1" ] && ! [ -L "$1" ]; then rmdir -- "$1" 2>/dev/null || { echo kept; exit 0; }; fi
if [ -e "$1" ] || [ -L "$1" ]; then echo kept; exit 0; fi
work=".deploynaut/tmp/seed.$$"
trap 'rm -rf -- "$work"' EXIT
mkdir -p -m 0700 .deploynaut/tmp
mkdir -m 0755 -- "$work"
tar -x -p -f - -C "$work" --no-same-owner --warning=no-timestamp
mkdir -p -- "$(dirname -- "$1")"
mv -T -- "$work/seed" "$1"
echo seeded
"""
)
"""$1: where to, relative to the base. The input is a tar of the one member `seed`. Says `seeded` or `kept`."""

# Exit 3: `current` is no link. The link is made beside its place and renamed over it: no visitor finds it missing.
SWITCH = (
    _START
    + r"""
[ -d "releases/$1" ] && ! [ -L "releases/$1" ] || { echo "releases/$1 is not there" >&2; exit 4; }
[ -L current ] || ! [ -e current ] || exit 3
rm -f -- .current.new
ln -s -- "releases/$1" .current.new
mv -fT -- .current.new current
link_of current
printf '%s' "$found"
"""
)
"""$1: the release. Says where `current` leads afterwards."""

# Follows `current` hop by hop: a release that a chain of links passes through is in use as much as its end.
REMOVE = (
    _START
    + r"""
in_use=/
note() {
  case $1 in */*) up=${1%/*} ;; *) up=. ;; esac
  up=$(cd -P -- "${up:-/}" 2>/dev/null && pwd -P) || return 1
  in_use="$in_use:$up/${1##*/}/"
}
hop=current
hops=0
while [ -L "$hop" ] && [ "$hops" -lt 40 ]; do
  note "$hop" || break
  link_of "$hop"
  case $found in /*) hop=$found ;; *) hop=$up/$found ;; esac
  hops=$((hops + 1))
done
note "$hop" || :
end=$(readlink -f -- current) || end=
in_use="$in_use:$end/"
for release; do
  place="$(pwd -P)/releases/$release"
  said=
  if [ -L "releases/$release" ]; then said='it is a link'
  elif ! [ -e "releases/$release" ]; then said='it is not there'
  elif ! [ -d "releases/$release" ]; then said='it is no directory'
  elif [ "$(readlink -f -- "releases/$release")" != "$place" ]; then said='it is not where it seems to be'
  fi
  case $in_use in *":$place/"*) said='it is live' ;; esac
  if [ -z "$said" ]; then
    case $release in
      .*) gone=releases/$release ;;
      *) gone="releases/.$release.gone.$$"; mv -T -- "releases/$release" "$gone" || said='it cannot be renamed' ;;
    esac
  fi
  if [ -z "$said" ]; then
    find "$gone" -xdev -type d ! -perm -0700 -exec chmod u+rwx {} + 2>/dev/null || :
    said=$(rm -rf --one-file-system -- "$gone" 2>&1 >/dev/null | head -n 5) || :
    [ -n "$said" ] || ! [ -e "$gone" ] || said='something of it is left'
    [ -z "$said" ] || said="$said ($(find "$gone" -maxdepth 3 -printf '%u\n' 2>/dev/null | sort | uniq -c | sort -rn |
      awk 'NR == 1 {print "owner " $2}'))"
  fi
  printf '%s\0%s\0' "$release" "$said"
done
"""
)
"""$1, $2, …: releases. Says of each its name and why it is still there, or nothing."""
