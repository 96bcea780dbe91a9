// ROOT/ac/3f/<hex>, ROOT/cas/3f/<hex> (Bazel's own layout of a disk cache) and ROOT/tmp for files that are not whole.
#include "compiler/Store/Store.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

namespace kimic::store {

namespace {

namespace fs = std::filesystem;

/// A file descriptor that is closed once.
class File {
public:
  File(const std::string &path, int flags) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~File() {
    if (descriptor_ >= 0)
      ::close(descriptor_);
  }
  File(const File &) = delete;
  File &operator=(const File &) = delete;

  bool isOpen() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }
  bool close() { return ::close(std::exchange(descriptor_, -1)) == 0; }

private:
  int descriptor_;
};

class DirectoryStore : public Store {
public:
  explicit DirectoryStore(std::string root) : root_(std::move(root)) {
    std::random_device random; // names of temporary files must differ between machines that share a file system
    prefix_ = root_ + "/tmp/" + std::to_string(random()) + "-" + std::to_string(::getpid()) + "-";
  }

private:
  std::string pathOf(Space space, const Digest &key) const {
    std::string name = nameOf(space, key);
    std::size_t slash = name.find('/');
    return root_ + "/" + name.substr(0, slash + 1) + name.substr(slash + 1, 2) + "/" + name.substr(slash + 1);
  }

  Status fail(const std::string &path) {
    warn("store " + root_ + ": " + std::strerror(errno) + ": " + path.substr(root_.size() + 1));
    return Status::Failed;
  }

  Status read(Space space, const Digest &key, std::uint64_t maxBytes, Bytes &out) override {
    std::string path = pathOf(space, key);
    File file(path, O_RDONLY);
    if (!file.isOpen())
      return errno == ENOENT ? Status::Absent : fail(path);
    struct stat info;
    if (::fstat(file.get(), &info) != 0)
      return fail(path);
    // One byte more than allowed is enough to see that an entry is too long to be right.
    out.resize(std::min<std::uint64_t>(static_cast<std::uint64_t>(info.st_size), maxBytes + 1));
    std::size_t at = 0;
    while (at < out.size()) {
      ssize_t count = ::read(file.get(), out.data() + at, out.size() - at);
      if (count < 0 && errno == EINTR)
        continue;
      if (count < 0)
        return fail(path);
      if (count == 0)
        break;
      at += static_cast<std::size_t>(count);
    }
    out.resize(at);
    return Status::Ok;
  }

  bool write(Space space, const Digest &key, std::span<const std::uint8_t> bytes) override {
    std::string path = pathOf(space, key), temporary = prefix_ + std::to_string(next_++);
    if (!writeWhole(temporary, bytes)) {
      fail(temporary);
      ::unlink(temporary.c_str());
      return false;
    }
    if (::rename(temporary.c_str(), path.c_str()) == 0)
      return true;
    if (errno == ENOENT) { // the first entry of its folder
      std::error_code code;
      fs::create_directories(fs::path(path).parent_path(), code);
      if (::rename(temporary.c_str(), path.c_str()) == 0)
        return true;
    }
    fail(path);
    ::unlink(temporary.c_str());
    return false;
  }

  static bool writeWhole(const std::string &path, std::span<const std::uint8_t> bytes) {
    File file(path, O_WRONLY | O_CREAT | O_EXCL);
    if (!file.isOpen())
      return false;
    while (!bytes.empty()) {
      ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
      if (count < 0 && errno != EINTR)
        return false;
      bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    return file.close();
  }

  void discard(Space space, const Digest &key) override { ::unlink(pathOf(space, key).c_str()); }

  std::string root_, prefix_;
  std::atomic<std::uint64_t> next_{0};
};

} // namespace

std::string userCacheDirectory(std::string_view name) {
  // The XDG base directory specification: a path that is not absolute is to be ignored.
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

Result<std::unique_ptr<Store>, Diagnostic> openDirectoryStore(const std::string &path) {
  std::error_code code;
  for (const char *part : {"/ac", "/cas", "/tmp"})
    if (fs::create_directories(path + part, code); code)
      return Diagnostic{
          ErrorId::StoreUnusable, path, 0, "", code.message(), "a folder that can be written to, or a URL"};
  return std::unique_ptr<Store>(std::make_unique<DirectoryStore>(path));
}

} // namespace kimic::store
