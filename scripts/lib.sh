# What the scripts share: system packages, the Swift toolchain, builds, progress, MPI, counting tests.
# Sourced, not run: `source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"`.
# shellcheck shell=bash
set -euo pipefail

caller=$PWD
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # used by the scripts
readonly caller project
cd "$project"

readonly swift_wanted="6.1"
readonly logs=.build/logs

# say TEXT…: what a script is about to do, on stderr, so that stdout belongs to the program.
say() { printf '%s\n' "$*" >&2; }

# stop TEXT…: one line, and the end.
stop() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# --- progress ---------------------------------------------------------------------------------------

# quietly LABEL COMMAND…: runs COMMAND with its output in a log and shows that it moves: a redrawn line
# on a terminal, a line every ten seconds elsewhere. Returns COMMAND's status; on failure shows the end
# of the log.
quietly() {
  local label=$1 log status=0 started=$SECONDS ticker
  shift
  mkdir -p "$logs"
  log=$logs/${label//[^a-zA-Z0-9]/-}.log
  : >"$log"
  say "$label … (log: $log)"
  tick "$log" "$$" "$label" &
  ticker=$!
  # In the foreground, or bash would shield it from Ctrl-C.
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  [[ ! -t 2 ]] || printf '\r\033[K' >&2
  if ((status != 0)); then
    say "$label failed after $((SECONDS - started)) s (status $status):"
    { grep -E 'error:|^E: ' "$log" || true; tail -n 15 "$log"; } | awk '!seen[$0]++' | tail -n 30 >&2
    return "$status"
  fi
  say "$label: done in $((SECONDS - started)) s"
}

# tick LOG PARENT LABEL: tells how far LOG has come, as long as PARENT lives.
tick() {
  local log=$1 parent=$2 label=$3 seconds=0 last
  while sleep 1 && kill -0 "$parent" 2>/dev/null; do
    seconds=$((seconds + 1))
    last=$(tail -n 1 "$log" 2>/dev/null | tr -d '\r' | tr -c '[:print:]\n' ' ' | cut -c 1-80)
    if [[ -t 2 ]]; then
      printf '\r\033[K%s: %d s  %.60s' "$label" "$seconds" "$last" >&2
    elif ((seconds % 10 == 0)); then
      say "$label: $seconds s  $last"
    fi
  done
}

# --- what the build needs ---------------------------------------------------------------------------

# Each row: a Debian or Ubuntu package, and how to see that what it brings is there. Asking pkg-config
# and not dpkg lets a site's own MPI or BLAS (module load, PKG_CONFIG_PATH) stand in for a package.
readonly needs="
pkg-config      command pkg-config
g++             command g++
git             command git
ca-certificates file /etc/ssl/certs/ca-certificates.crt
openmpi-bin     command mpirun
libopenmpi-dev  module ompi-c
libopenblas-dev module openblas
libxxhash-dev   module libxxhash
libpng-dev      module libpng
libjpeg-dev     module libjpeg
libtiff-dev     module libtiff-4
zlib1g-dev      module zlib
libcairo2-dev   module cairo
"

# The packages that are missing, one a line.
missing_packages() {
  local package kind what
  while read -r package kind what; do
    case $kind in
      command) command -v "$what" >/dev/null || echo "$package" ;;
      file) [[ -e $what ]] || echo "$package" ;;
      module) pkg-config --exists "$what" 2>/dev/null || echo "$package" ;;
    esac
  done <<<"$needs"
}

# Installs what is missing by apt; where that isn't allowed, prints the line that would and stops.
need_system_packages() {
  local missing as_root=()
  missing=$(missing_packages | xargs)
  [[ -n $missing ]] || return 0
  command -v apt-get >/dev/null ||
    stop "missing: $missing (Debian's names; install your system's, or load your site's modules)"
  if ((EUID != 0)); then
    as_root=(sudo)
    if ! sudo -n true 2>/dev/null && ! { [[ -t 0 ]] && command -v sudo >/dev/null && sudo -v; }; then
      stop "missing packages; run this, then try again:  sudo apt-get update && sudo apt-get install -y $missing"
    fi
  fi
  say "installing: $missing"
  # Tables may be old: a failing update matters only if the install fails too.
  quietly "updating the package lists" "${as_root[@]}" apt-get update -q || true
  # shellcheck disable=SC2086  # a list of words
  quietly "installing packages" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends $missing ||
    stop "apt-get could not install: $missing"
  missing=$(missing_packages | xargs)
  [[ -z $missing ]] || stop "still missing after the installation: $missing"
}

need_swift() {
  local version
  command -v swift >/dev/null ||
    stop "needs Swift $swift_wanted or newer, found none: get it from https://www.swift.org/install"
  version=$(swift --version 2>&1 | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -n 1)
  [[ -n $version && $(printf '%s\n' "$swift_wanted" "$version" | sort -V | head -n 1) == "$swift_wanted" ]] ||
    stop "needs Swift $swift_wanted or newer, found ${version:-something else} at $(command -v swift):" \
      "get it from https://www.swift.org/install"
}

# --- builds -----------------------------------------------------------------------------------------

# Program and tests are built optimised, in one build folder and with the same flags, so that what is
# tested is what trains, and nothing is compiled twice.
readonly bin=$project/.build/release

build_program() {
  quietly "building the release" swift build -c release --product cnn-dist
}

build_tests() {
  quietly "building the program and its tests" swift build -c release --build-tests
}

# All tests as one program. Run it directly: `swift test` would hold SwiftPM's lock, on which the
# ranks of a parallel test wait for each other for ever.
# shellcheck disable=SC2034  # used by the scripts
readonly test_bundle=$bin/cnn-distPackageTests.xctest

# --- MPI --------------------------------------------------------------------------------------------

# Cores that this process may use, hyper-threads counted once.
physical_cores() {
  local cores allowed quota period
  cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l)
  allowed=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  ((cores > 0 && cores < allowed)) || cores=$allowed
  if read -r quota period 2>/dev/null </sys/fs/cgroup/cpu.max && [[ $quota != max ]]; then
    quota=$(((quota + period - 1) / period))
    ((quota >= cores)) || cores=$quota
  fi
  echo "$cores"
}

# mpirun_options RANKS: sets `mpi_options` for a job of RANKS ranks on this machine alone, exports the
# variables that OpenMPI needs for it, and says so. The program itself never does any of this.
mpirun_options() {
  local ranks=$1 cores
  cores=$(physical_cores)
  mpi_options=(-np "$ranks")
  if ((EUID == 0)); then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    say "running as root: OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
  fi
  if ((cores < ranks)); then
    mpi_options+=(--oversubscribe)
    say "$ranks ranks on $cores core$( ((cores == 1)) || echo s): --oversubscribe"
  fi
  # Only DNS may know this host's name: mpirun asks some twenty times, and each lost answer would cost 5 seconds.
  getent -s files hosts "$(uname -n)" >/dev/null || export RES_OPTIONS="timeout:1 attempts:2"
  # A laptop has no InfiniBand: no news.
  export OMPI_MCA_btl_base_warn_component_unused=0
  # A container whose filter forbids process_vm_readv: OpenMPI would complain for each pair of ranks.
  if grep -q '^Seccomp:[[:space:]]*2' /proc/self/status && ! may_trace; then
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
  fi
}

# run_job COMMAND…: runs mpirun so that Ctrl-C leaves time for a checkpoint. mpirun would answer Ctrl-C with
# SIGTERM to its ranks and SIGKILL a second later (a longer wait would hold up every job that fails), so it
# gets a process group of its own, and the first Ctrl-C becomes SIGUSR1, which mpirun hands on and leaves at that.
run_job() {
  local job signals=0 status=0
  set -m
  "$@" </dev/null &
  job=$!
  set +m
  trap 'signals=$((signals + 1)); stop_job "$job" "$signals"' HUP INT TERM USR1
  while kill -0 "$job" 2>/dev/null; do wait "$job" || true; done
  # Once more: a wait that a signal interrupted gave the signal's status.
  wait "$job" || status=$?
  trap - HUP INT TERM USR1
  return "$status"
}

stop_job() {
  if (($2 == 1)); then
    say "finishing the step and writing a checkpoint (once more: stop at once)"
    kill -USR1 "$1" 2>/dev/null || true
  else
    kill -TERM "$1" 2>/dev/null || true
  fi
}

# Whether this process has CAP_SYS_PTRACE (bit 19).
may_trace() {
  local bits
  bits=$(sed -nE 's/^CapEff:[[:space:]]*//p' /proc/self/status)
  (((16#$bits >> 19) & 1))
}

# --- counting ---------------------------------------------------------------------------------------

# Every suite of tests ends in a line `NAME: X passed, Y failed`, or several of them; a script that adds
# them up ends in the same line without the name.
readonly count_line='^([^:]+: )?[0-9]+ passed, [0-9]+ failed$'

# run_suite NAME RESULTS COMMAND…: runs a suite, shows its output and adds its counting lines to RESULTS.
# A suite that fails without a failed test in its lines, or has no line, counts as one failed test.
run_suite() {
  local name=$1 results=$2 log=$logs/$1.txt status=0 lines
  shift 2
  mkdir -p "$logs"
  "$@" </dev/null | tee "$log" || status=$?
  lines=$(grep -E "$count_line" "$log" || true)
  # A line without a name is the sum of those above it.
  [[ ! ${lines##*$'\n'} =~ ^[0-9] ]] || lines=${lines##*$'\n'}
  if [[ -z $lines ]] || { ((status != 0)) && ! grep -qv ', 0 failed$' <<<"$lines"; }; then
    lines+=$'\n'"$name died (status $status): 0 passed, 1 failed"
    say "${lines##*$'\n'}"
  fi
  printf '%s\n' "$lines" >>"$results"
}

# run_suite_where_possible NAME RESULTS COMMAND…: the same, but a suite that ends with status 77 without a counting line
# has said why it can't run here, and counts for nothing.
run_suite_where_possible() {
  local name=$1 results=$2 log=$logs/$1 status=0
  shift 2
  mkdir -p "$logs"
  "$@" </dev/null >"$log.first" || status=$?
  ((status != 77)) || return 0
  # shellcheck disable=SC2016  # for the inner shell
  run_suite "$name" "$results" bash -c 'cat "$1"; exit "$2"' bash "$log.first" "$status"
}

# tally RESULTS: the sum as `N passed, N failed`; fails when a test failed or none passed.
tally() {
  awk '/ passed, [0-9]+ failed$/ { passed += $(NF - 3); failed += $(NF - 1) }
    END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }' "$1"
}
