# Makes the headers' comments what Doxygen reads, without a mark in the headers: the first of a file is
# about the file, one before a declaration about that, one behind a member about that. Indented lines
# (formulas) stay as they are. Overloads share the comment of the first, and so do declarations with no
# blank line between them; a function of the C interface without one is as the C++ function of its name.

# Text that is not a formula.
function words(text,    n, parts, i, out) {
  n = split(text, parts, "`")
  out = ""
  for (i = 1; i <= n; ++i) {
    gsub(/&/, "\\&amp;", parts[i])
    gsub(/</, "\\&lt;", parts[i])
    gsub(/>/, "\\&gt;", parts[i])
    gsub(/[@#%\\"]/, "\\\\&", parts[i])
    # A comment may end a line within quotes: the number of quotes decides.
    if (i > 1) out = out (i % 2 == 0 ? "<tt>" : "</tt>")
    out = out parts[i]
  }
  return n > 0 && n % 2 == 0 ? out "</tt>" : out
}

# The comment on these lines. Formulas have no other place than a block, where no mark begins a line.
function block(from, to, first,    i, text, raw, out) {
  out = "/** " first
  raw = 0
  for (i = from; i <= to; ++i) {
    text = line[i]
    sub(/^ *\/\/ ?/, "", text)
    if (text ~ /^  +[^ ]/ || (raw && text == "" && line[i + 1] ~ /^ *\/\/   /)) {
      if (!raw) out = out "\\verbatim\n"
      raw = 1
      out = out text "\n"
      continue
    }
    if (raw) out = out "\\endverbatim\n"
    raw = 0
    out = out words(text) "\n"
  }
  if (raw) out = out "\\endverbatim\n"
  return out "*/\n"
}

# The function that a declaration on this line and the next declares.
function name_of(i,    text) {
  text = line[i] " " line[i + 1]
  sub(/^ *CULOSS_API /, "", text)
  if (!match(text, /[A-Za-z_0-9~]+\(/)) return ""
  return substr(text, RSTART, RLENGTH - 1)
}

# What a function of the C interface is in C++.
function likeness(name) {
  sub(/^culoss_/, "", name)
  if (sub(/_init$/, "", name)) return "The defaults of culoss::" name ", in a struct of this size."
  if (name != "smooth_labels") sub(/_(soft|labels)$/, "", name)
  sub(/_soft_backward$/, "_backward", name)
  return "As culoss::" name "."
}

function comment_at(i) { return line[i] ~ /^ *\/\// }

{ line[NR] = $0 }

END {
  i = 1
  if (comment_at(1)) {
    while (comment_at(i)) ++i
    printf "%s", block(1, i - 1, "\\file\n")
  }
  pending = ""
  for (; i <= NR; ++i) {
    if (comment_at(i)) {
      from = i
      while (comment_at(i + 1)) ++i
      pending = block(from, i, "")
      printf "%s", pending
      continue
    }
    if (line[i] ~ /^CULOSS_API /) {
      name = name_of(i)
      link = FILENAME
      sub(/.*\//, "", link)
      if (pending != "") {
        doc[name] = group = pending
      } else if (name ~ /^culoss_/) {
        group = ""
      } else if (!(name in doc) && group != "") {
        doc[name] = group
      }
      if (pending == "" && (name in doc)) printf "%s", doc[name]
      if (name ~ /^culoss_/ && link != "core.h") printf "/// %s\n", likeness(name)
      if (link ~ /\.hpp$/) printf "/// \\sa %s, for formula, shapes, special values and errors\n", link
    }
    pending = ""
    if (line[i] == "") group = ""
    at = match(line[i], / \/\/ /)
    # Doxygen has no place for what is said of a declaration alone.
    if (at == 0 || line[i] ~ /^struct [A-Za-z_]+;/) {
      print line[i]
      continue
    }
    # What stands below a comment behind a member, in its column, goes on with it.
    from = i
    code = substr(line[i], 1, at)
    text = words(substr(line[i], at + 4))
    printf "%s///< %s\n", code, text
    while (match(line[i + 1], /^ *\/\/ /) && RLENGTH == at + 3) {
      ++i
      printf "%s///< %s\n", substr(line[i], 1, at), words(substr(line[i], at + 4))
    }
  }
}
