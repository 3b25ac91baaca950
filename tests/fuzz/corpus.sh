# The kept inputs of a family: a text file of one input a line, in hexadecimal. Sourced.

# unpack <text file> <folder>: a file for each input.
unpack() {
  local line i bytes n=0
  while read -r line; do
    bytes=
    for ((i = 0; i < ${#line}; i += 2)); do bytes+="\\x${line:i:2}"; done
    # shellcheck disable=SC2059
    printf "$bytes" >"$2/kept-$((n++))"
  done <"$1"
}

# pack <folder> <text file>
pack() {
  local file
  for file in "$1"/*; do od -An -v -tx1 "$file" | tr -d ' \n' && echo; done | sort >"$2"
}
