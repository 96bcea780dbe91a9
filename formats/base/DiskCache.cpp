#include "formats/base/DiskCache.h"

#include "formats/base/File.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace kimic {

namespace {

constexpr std::uint64_t kMaxEntryBytes = 1u << 30;

std::span<const std::uint8_t> bytesOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

Digest checkOf(const Digest &key, std::string_view bytes) {
  Sha256 hash;
  hash.add(key);
  hash.add(bytesOf(bytes));
  return hash.finish();
}

} // namespace

std::string cacheDirectory(std::string_view name) {
  // The XDG base directory specification: a relative path is to be ignored.
  const char *xdg = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  std::string base;
  if (xdg && *xdg == '/')
    base = xdg;
  else if (home && *home == '/')
    base = std::string(home) + "/.cache";
  else
    return "";
  return base.append("/kimic/").append(name);
}

std::string DiskCache::pathOf(const Digest &key) const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string name;
  for (std::uint8_t byte : key) {
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  return directory_ + "/" + name.substr(0, 2) + "/" + name.substr(2);
}

std::optional<std::string> DiskCache::find(const Digest &key) const {
  if (directory_.empty())
    return std::nullopt;
  auto file = readFile(pathOf(key), kMaxEntryBytes);
  if (!file || file->size() < sizeof(Digest))
    return std::nullopt;
  std::string_view bytes = std::string_view(*file).substr(sizeof(Digest));
  Digest check = checkOf(key, bytes);
  if (!std::equal(check.begin(), check.end(), bytesOf(*file).begin()))
    return std::nullopt;
  return std::string(bytes);
}

void DiskCache::add(const Digest &key, std::string_view bytes) const {
  if (directory_.empty())
    return;
  std::string path = pathOf(key);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  Digest check = checkOf(key, bytes);
  std::string file(reinterpret_cast<const char *>(check.data()), check.size());
  file += bytes;
  (void)writeFileAtomically(path, file, true).ok();
}

} // namespace kimic
