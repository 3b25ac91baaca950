# What tests/run and bench/run share; sourced by them. Finds the compilers and libraries, installs by
# name what is missing, and runs the steps quietly.
#
#   cuda_version  of the toolkit, or empty
#   gpu           the name of the first GPU, or empty
#   jobs          how many compilers at once

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=$root/build/log
jobs=$(nproc)
mkdir -p "$log"
cd "$root"

# step <name> <command...>: quiet, with its duration; where it fails, the end of what it said.
step() {
  local name=$1 start=$SECONDS
  shift
  printf '%-10s' "$name"
  if ! "$@" >"$log/$name.log" 2>&1; then
    printf 'failed after %d s. The end of %s:\n' $((SECONDS - start)) "$log/$name.log"
    tail -n 60 "$log/$name.log"
    exit 1
  fi
  printf '%5d s\n' $((SECONDS - start))
}

has_header() {
  local include=() prefix prefixes=${CMAKE_PREFIX_PATH:-}
  for prefix in ${prefixes//:/ }; do include+=("-I$prefix/include"); done
  echo "#include <$1>" | "${CXX:-c++}" -std=c++20 -x c++ "${include[@]}" -E - >"$log/probe.log" 2>&1
}

has_cmake() {
  command -v cmake >"$log/probe.log" &&
    printf '%s\n' 3.25 "$(cmake --version | sed -n 's/^cmake version //p')" | sort -V -C
}

# The Python that has matplotlib: Debian's package is for Debian's Python, which need not come first.
plotting_python() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c 'import matplotlib' 2>"$log/probe.log"; then
      echo "$python"
      return
    fi
  done
  return 1
}

# Whether clang++ is here with libFuzzer and the sanitizers.
can_fuzz() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' |
    clang++ -fsanitize=fuzzer,address,undefined -x c++ - -o "$log/probe"
}

# Whether what the package is needed for is there, wherever it came from.
has_package() {
  case $1 in
    cmake) has_cmake ;;
    ninja-build) command -v ninja ;;
    g++) command -v "${CXX:-c++}" ;;
    libgtest-dev) has_header gtest/gtest.h ;;
    libgmock-dev) has_header gmock/gmock.h ;;
    libbenchmark-dev) has_header benchmark/benchmark.h ;;
    libboost-context-dev) has_header boost/context/fiber.hpp ;;
    nlohmann-json3-dev) has_header nlohmann/json.hpp ;;
    zlib1g-dev) has_header zlib.h ;;
    python3-matplotlib) plotting_python ;;
    clang) command -v clang++ ;;
    libclang-rt-14-dev) can_fuzz ;;
    *) dpkg-query -W "$1" ;;
  esac >"$log/probe.log" 2>&1
}

missing_of() {
  local package
  for package in "$@"; do
    has_package "$package" || printf '%s ' "$package"
  done
}

# provide <package...>: installs what is missing where that is possible. Whether all is there then.
provide() {
  local missing as_root=()
  missing=$(missing_of "$@")
  [[ -n $missing ]] || return 0
  if [[ $(id -u) -ne 0 ]]; then as_root=(sudo -n); fi
  if command -v apt-get >"$log/probe.log" && "${as_root[@]}" true 2>"$log/probe.log"; then
    echo "installing ${missing% }"
    # shellcheck disable=SC2086
    { "${as_root[@]}" apt-get update -q &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing; } >"$log/packages.log" 2>&1 || true
  fi
  [[ -z $(missing_of "$@") ]]
}

# require <package...>: the same, or says what to install and ends.
require() {
  local missing
  if provide "$@"; then return 0; fi
  missing=$(missing_of "$@")
  echo "missing, and could not be installed from here: ${missing% }"
  echo "on Debian or Ubuntu: sudo apt-get install ${missing% }   (CMake must be 3.25 or newer)"
  exit 1
}

find_cuda() {
  local nvcc=${CUDACXX:-}
  [[ -n $nvcc ]] || nvcc=$(command -v nvcc) || nvcc=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc
  cuda_version=
  if [[ ${CULOSS_CUDA:-AUTO} != OFF && -x $nvcc ]]; then
    cuda_version=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
    export CUDACXX=$nvcc
  fi
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>"$log/probe.log" | head -n 1) || gpu=
}
find_cuda
