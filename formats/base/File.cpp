#include "formats/base/File.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace kimic {

namespace {

/// Closes a descriptor at the end of the scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};

Diagnostic fileError(ErrorId id, const std::string &path, std::string found, std::string expected = "") {
  return Diagnostic{id, path, 0, "", std::move(found), std::move(expected)};
}

} // namespace

Result<std::string, Diagnostic> readFile(const std::string &path, std::uint64_t maxBytes) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) {
    ErrorId id = errno == ENOENT || errno == ENOTDIR ? ErrorId::FileNotFound : ErrorId::FileUnreadable;
    return fileError(id, path, id == ErrorId::FileNotFound ? "" : std::strerror(errno));
  }
  struct stat info;
  if (::fstat(file.fd, &info) != 0)
    return fileError(ErrorId::FileUnreadable, path, std::strerror(errno));
  if (S_ISDIR(info.st_mode))
    return fileError(ErrorId::FileUnreadable, path, "a directory", "a file");
  std::string atMost = "at most " + std::to_string(maxBytes) + " bytes";
  if (S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) > maxBytes)
    return fileError(ErrorId::FileTooLarge, path, std::to_string(info.st_size) + " bytes", atMost);

  std::string bytes;
  if (S_ISREG(info.st_mode))
    bytes.reserve(static_cast<std::size_t>(info.st_size));
  char chunk[1 << 16];
  for (;;) {
    ssize_t got = ::read(file.fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fileError(ErrorId::FileUnreadable, path, std::strerror(errno));
    if (got == 0)
      return bytes;
    if (bytes.size() + static_cast<std::size_t>(got) > maxBytes)
      return fileError(ErrorId::FileTooLarge, path, "more", atMost);
    bytes.append(chunk, static_cast<std::size_t>(got));
  }
}

Result<Digest, Diagnostic> digestOfFile(const std::string &path) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; // an open pipe would wait for a writer
  if (file.fd < 0) {
    ErrorId id = errno == ENOENT || errno == ENOTDIR ? ErrorId::FileNotFound : ErrorId::FileUnreadable;
    return fileError(id, path, id == ErrorId::FileNotFound ? "" : std::strerror(errno));
  }
  struct stat info;
  if (::fstat(file.fd, &info) != 0)
    return fileError(ErrorId::FileUnreadable, path, std::strerror(errno));
  if (!S_ISREG(info.st_mode))
    return fileError(ErrorId::FileUnreadable, path, "something else", "a file");
  Sha256 hash;
  std::uint8_t chunk[1 << 16];
  for (;;) {
    ssize_t got = ::read(file.fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fileError(ErrorId::FileUnreadable, path, std::strerror(errno));
    if (got == 0)
      return hash.finish();
    hash.add({chunk, static_cast<std::size_t>(got)});
  }
}

Result<void, Diagnostic> writeFileAtomically(const std::string &path, std::string_view bytes, bool overwrite) {
  // Beside the target, so that the rename stays inside one file system.
  std::string temporary;
  Descriptor file{-1};
  for (int attempt = 0; file.fd < 0 && attempt < 100; ++attempt) {
    temporary = path + "." + std::to_string(::getpid()) + "-" + std::to_string(attempt) + ".tmp";
    file.fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file.fd < 0 && errno != EEXIST)
      break;
  }
  if (file.fd < 0)
    return fileError(ErrorId::FileNotWritten, path, std::strerror(errno));

  auto fail = [&](ErrorId id, int code) -> Result<void, Diagnostic> {
    ::unlink(temporary.c_str());
    return fileError(id, path, id == ErrorId::FileExists ? "" : std::strerror(code));
  };
  for (std::string_view rest = bytes; !rest.empty();) {
    ssize_t written = ::write(file.fd, rest.data(), rest.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fail(ErrorId::FileNotWritten, errno);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file.fd) != 0)
    return fail(ErrorId::FileNotWritten, errno);

  if (!overwrite) {
    // link() refuses an existing target atomically, which rename() does not; a file system without hard links leaves
    // only a look before the rename.
    if (::link(temporary.c_str(), path.c_str()) == 0) {
      ::unlink(temporary.c_str());
      return {};
    }
    bool hasNoLinks = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS;
    if (!hasNoLinks)
      return fail(errno == EEXIST ? ErrorId::FileExists : ErrorId::FileNotWritten, errno);
    if (::access(path.c_str(), F_OK) == 0)
      return fail(ErrorId::FileExists, EEXIST);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(ErrorId::FileNotWritten, errno);
  return {};
}

} // namespace kimic
