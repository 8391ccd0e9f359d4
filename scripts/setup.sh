#!/usr/bin/env bash
# Makes .venv in the repo root hold what a lock file says, plus the project in editable form.
#
#   scripts/setup.sh [runtime|dev]      runtime (the default): requirements.lock
#                                       dev: requirements-dev.lock, which holds all of the other
#
# The other scripts run it first, every time: when nothing has changed it says nothing and takes a
# few hundredths of a second. What .venv holds is told by a stamp inside it. The stamp is taken away
# before the first change and written after the last one, so the run after an interrupted one starts
# over. Two runs at once take turns. A changed lock means a new .venv, so that it never keeps a
# package that the lock has dropped; a changed pyproject.toml means only that the project is
# installed again.
#
# PYTHON=/path/to/python chooses the interpreter. Your own pip settings choose the package index.
set -euo pipefail

kind="${1:-runtime}"
case "$kind" in
  runtime) lock=requirements.lock ;;
  dev) lock=requirements-dev.lock ;;
  *)
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    [[ "$kind" == -h || "$kind" == --help ]]
    exit
    ;;
esac

root="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$root/.venv"
stamp="$venv/flux-stamp"

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Prints a python's version; fails unless all packages of the locks have wheels for it.
version_of() {
  "$1" -IS -c 'import sys
print("%d.%d.%d" % sys.version_info[:3])
sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null
}

sum_of() { sha256sum <"$root/$1" | cut -d ' ' -f 1; }
stamped() { grep -Fxqs -e "$1" -- "$stamp"; }

# .venv is complete, lies where it was made (its programs name their path) and has the python asked for.
whole() {
  local version
  version="$(version_of "$venv/bin/python")" && stamped "python $version" && stamped "root $root" || return 1
  [[ -z "${PYTHON:-}" || "$(version_of "$PYTHON")" == "$version" ]]
}
locked() { stamped "$kind $(sum_of "$lock")"; }
ready() { whole && locked && stamped "project $(sum_of pyproject.toml)"; }

# Sets `python` and `version` to the first python that will do: $PYTHON if set, else the usual names.
find_python() {
  local candidate candidates=(python3.11 python3 python3.12 python3.13 python3.14) seen=""
  version=""
  if [[ -n "${PYTHON:-}" ]]; then candidates=("$PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    python="$(command -v -- "$candidate")" || continue
    if ! version="$(version_of "$python")"; then
      seen+="${version:+ ($candidate is $version)}"
      continue
    fi
    "$python" -Ic 'import ensurepip, venv' 2>/dev/null && return
    die "$candidate lacks the venv module: install it (on Debian and Ubuntu the package python${version%.*}-venv) and run this again."
  done
  if [[ -n "${PYTHON:-}" ]]; then die "PYTHON=$PYTHON is ${version:-no usable Python}, but 3.11 to 3.14 is needed: name another one, or unset it."; fi
  die "Python 3.11 to 3.14 was not found$seen: install it, or name it with PYTHON=/path/to/python."
}

# One run at a time. The lock belongs to the open folder, which this shell shares with its children:
# it ends when the last of them does, however that comes about.
take_turn() {
  exec 9<"$root/scripts"
  "$python" -IS -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
  say "another setup is running; waiting for it…"
  "$python" -IS -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

make_venv() {
  say "setting up .venv with Python $version (about a minute)…"
  "$python" -m venv --clear "$venv" || die "making .venv failed, for the reason above."
}

# Settings meant for other pythons would send the packages elsewhere, hence `env -u`.
pip_install() {
  local what="$1"
  shift
  say "installing $what…"
  env -u PYTHONPATH -u PYTHONHOME -u PIP_USER -u PIP_TARGET -u PIP_PREFIX -u PIP_REQUIRE_HASHES \
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps "$@" ||
    die "installing $what failed, for the reason above ('from versions: none': no package index was reached)."
}

install_lock() {
  pip_install "$(grep -c == "$lock") packages of $lock" --require-hashes --only-binary :all: -r "$lock"
}

install_project() {
  pip_install "the project" --no-build-isolation -e .
}

# Brings .venv up to date and writes the stamp. The sums are taken first: a file that changes
# meanwhile is then found changed by the next run.
bring_up_to_date() {
  local held project runtime="runtime $(sum_of requirements.lock)" dev="dev $(sum_of requirements-dev.lock)"
  project="project $(sum_of pyproject.toml)"
  if whole && locked; then
    held="$(grep -E '^(runtime|dev) ' "$stamp")"
    rm -f -- "$stamp"
  else
    held="$runtime"
    if [[ "$kind" == dev ]]; then held+=$'\n'"$dev"; fi
    # The dev lock goes on top of the runtime lock that it holds; any other change is a new .venv.
    if ! { [[ "$kind" == dev ]] && whole && stamped "$runtime" && ! grep -q '^dev ' "$stamp"; }; then
      rm -f -- "$stamp"
      make_venv
    fi
    rm -f -- "$stamp"
    install_lock
  fi
  install_project
  printf '%s\n' "root $root" "python $(version_of "$venv/bin/python")" "$project" "$held" >"$stamp.new"
  mv -f -- "$stamp.new" "$stamp"
}

if ready; then exit; fi
find_python
take_turn
if ready; then exit; fi
trap 'say "interrupted; the next run starts over."; exit 130' INT TERM
cd -- "$root"
bring_up_to_date
say "ready after $SECONDS s."
