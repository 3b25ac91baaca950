// Names of kernels and of places in them, from the symbol table of the running program: kernels
// have internal linkage, which the dynamic symbol table does not know.
#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "engine.hpp"

namespace simt {
namespace {

struct symbol {
  std::uint64_t size;
  std::string name;
};

std::uint64_t load_address() {
  std::uint64_t base = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        *static_cast<std::uint64_t*>(out) = info->dlpi_addr;
        return 1;  // the first entry is the program itself
      },
      &base);
  return base;
}

template <typename T>
std::vector<T> read(std::ifstream& file, std::uint64_t offset, std::uint64_t bytes) {
  std::vector<T> out(bytes / sizeof(T));
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(out.data()),
            static_cast<std::streamsize>(out.size() * sizeof(T)));
  return out;
}

std::map<std::uint64_t, symbol> load_symbols() {
  std::map<std::uint64_t, symbol> symbols;
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const auto header = read<Elf64_Ehdr>(file, 0, sizeof(Elf64_Ehdr));
  if (!file) return symbols;
  const auto sections =
      read<Elf64_Shdr>(file, header[0].e_shoff, header[0].e_shnum * sizeof(Elf64_Shdr));
  const std::uint64_t base = load_address();
  for (const Elf64_Shdr& s : sections) {
    if (s.sh_type != SHT_SYMTAB) continue;
    const Elf64_Shdr& strings = sections[s.sh_link];
    const auto names = read<char>(file, strings.sh_offset, strings.sh_size);
    for (const Elf64_Sym& entry : read<Elf64_Sym>(file, s.sh_offset, s.sh_size)) {
      if (ELF64_ST_TYPE(entry.st_info) != STT_FUNC || entry.st_value == 0) continue;
      symbols[base + entry.st_value] = {entry.st_size, names.data() + entry.st_name};
    }
  }
  return symbols;
}

}  // namespace

std::string symbol_name(const void* address) {
  static const std::map<std::uint64_t, symbol> symbols = load_symbols();
  static std::map<const void*, std::string> known;
  const auto found = known.find(address);
  if (found != known.end()) return found->second;
  const auto a = reinterpret_cast<std::uint64_t>(address);
  char unknown[32];
  std::snprintf(unknown, sizeof unknown, "%p", address);
  std::string name = unknown;
  auto it = symbols.upper_bound(a);
  if (it != symbols.begin() && (--it, a < it->first + it->second.size + (it->second.size == 0))) {
    int status = 0;
    char* plain = abi::__cxa_demangle(it->second.name.c_str(), nullptr, nullptr, &status);
    name = status == 0 ? plain : it->second.name;
    std::free(plain);
  }
  return known[address] = name;
}

}  // namespace simt
