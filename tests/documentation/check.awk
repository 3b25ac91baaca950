# Which functions of the headers have no documentation in what Doxygen made of them:
#   awk -f check.awk <headers> <XML files>
function name_of(text) {
  return match(text, /[A-Za-z_0-9]+\(/) ? substr(text, RSTART, RLENGTH - 1) : ""
}

# A declaration may begin a line before its name.
FILENAME !~ /\.xml$/ {
  if (begun || /^ *CULOSS_API /) {
    text = $0
    sub(/^ *CULOSS_API /, "", text)
    name = name_of(text)
    begun = name == ""
    if (!begun) wanted[name] = 1
  }
  next
}

/<memberdef kind="function"/ {
  inside = 1
  documented = 0
  # Constructors and operators speak for themselves, and nobody calls what is private.
  ignored = /prot="private"/
}
inside && /<name>/ {
  name = $0
  gsub(/.*<name>|<\/name>.*/, "", name)
  if (name ~ /^(operator|~)/) ignored = 1
}
inside && /<type>(constexpr)?<\/type>/ { ignored = 1 }
# Every function has a link to its header: that alone says nothing.
inside && /<para>/ {
  text = $0
  gsub(/<simplesect kind="see">.*/, "", text)
  gsub(/<[^>]*>/, "", text)
  if (text ~ /[A-Za-z]/) documented = 1
  if (/As culoss::/) {
    print name " is as nothing in C++"
    wrong = 1
  }
}
inside && /<\/memberdef>/ {
  inside = 0
  constructors[name] = 1
  if (ignored) next
  ++functions
  found[name] = 1
  if (!documented) undocumented[name] = 1
}

END {
  for (name in undocumented) {
    print name " has no documentation"
    wrong = 1
  }
  for (name in wanted) {
    if (name in found || name in constructors) continue
    print name " is missing"
    wrong = 1
  }
  print functions " functions"
  exit wrong + 0
}
