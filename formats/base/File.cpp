#include "formats/base/File.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace kimic {

namespace {

/// Closes a descriptor at the end of the scope.
struct Descriptor {
  explicit Descriptor(int fd) : fd(fd) {}
  Descriptor(Descriptor &&other) : fd(std::exchange(other.fd, -1)) {}
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
  int fd;
};

/// What is read: no directory.
struct Input {
  Descriptor file;
  struct stat info;
};

Diagnostic fileError(ErrorId id, const std::string &path, std::string found, std::string expected = "") {
  return Diagnostic{id, path, 0, "", std::move(found), std::move(expected)};
}

Result<Input, Diagnostic> openInput(const std::string &path, int flags) {
  Input input{Descriptor(::open(path.c_str(), flags)), {}};
  if (input.file.fd < 0) {
    ErrorId id = errno == ENOENT || errno == ENOTDIR ? ErrorId::FileNotFound : ErrorId::FileUnreadable;
    return fileError(id, path, id == ErrorId::FileNotFound ? "" : std::strerror(errno));
  }
  if (::fstat(input.file.fd, &input.info) != 0)
    return fileError(ErrorId::FileUnreadable, path, std::strerror(errno));
  if (S_ISDIR(input.info.st_mode))
    return fileError(ErrorId::FileUnreadable, path, "a directory", "a file");
  return input;
}

Result<Input, Diagnostic> openRegular(const std::string &path) {
  // An open pipe would wait for a writer.
  KIMIC_ASSIGN(Input input, openInput(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!S_ISREG(input.info.st_mode))
    return fileError(ErrorId::FileUnreadable, path, "something else", "a file");
  return input;
}

/// Gives `take` chunk after chunk, until it has an error or the file is at its end.
template <class Take> Result<void, Diagnostic> readToEnd(const Input &input, const std::string &path, Take take) {
  char chunk[1 << 16];
  for (;;) {
    ssize_t got = ::read(input.file.fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fileError(ErrorId::FileUnreadable, path, std::strerror(errno));
    if (got == 0)
      return {};
    KIMIC_TRY(take(std::string_view(chunk, static_cast<std::size_t>(got))));
  }
}

} // namespace

Result<std::string, Diagnostic> readFile(const std::string &path, std::uint64_t maxBytes) {
  KIMIC_ASSIGN(Input input, openInput(path, O_RDONLY | O_CLOEXEC));
  std::string atMost = "at most " + std::to_string(maxBytes) + " bytes";
  std::string bytes;
  if (S_ISREG(input.info.st_mode)) {
    std::uint64_t size = static_cast<std::uint64_t>(input.info.st_size);
    if (size > maxBytes)
      return fileError(ErrorId::FileTooLarge, path, std::to_string(size) + " bytes", atMost);
    bytes.reserve(size);
  }
  KIMIC_TRY(readToEnd(input, path, [&](std::string_view chunk) -> Result<void, Diagnostic> {
    if (bytes.size() + chunk.size() > maxBytes)
      return fileError(ErrorId::FileTooLarge, path, "more", atMost);
    bytes += chunk;
    return {};
  }));
  return bytes;
}

Result<Digest, Diagnostic> digestOfFile(const std::string &path) {
  KIMIC_ASSIGN(Input input, openRegular(path));
  Sha256 hash;
  KIMIC_TRY(readToEnd(input, path, [&](std::string_view chunk) -> Result<void, Diagnostic> {
    hash.add({reinterpret_cast<const std::uint8_t *>(chunk.data()), chunk.size()});
    return {};
  }));
  return hash.finish();
}

InputFile::InputFile(const std::string &path, int descriptor, std::uint64_t size)
    : path_(path), descriptor_(descriptor), size_(size) {}

InputFile::InputFile(InputFile &&other)
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0)
    ::close(descriptor_);
}

Result<InputFile, Diagnostic> InputFile::open(const std::string &path) {
  KIMIC_ASSIGN(Input input, openRegular(path));
  return InputFile(path, std::exchange(input.file.fd, -1), static_cast<std::uint64_t>(input.info.st_size));
}

Result<void, Diagnostic> InputFile::read(std::uint64_t offset, std::span<std::uint8_t> out) const {
  for (std::size_t done = 0; done < out.size();) {
    ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fileError(ErrorId::FileUnreadable, path_, std::strerror(errno));
    if (got == 0)
      return fileError(ErrorId::FileUnreadable, path_, "end of file at byte " + std::to_string(offset + done),
                       std::to_string(out.size() - done) + " more bytes");
    done += static_cast<std::size_t>(got);
  }
  return {};
}

Result<AtomicFile, Diagnostic> AtomicFile::create(const std::string &path) {
  AtomicFile file;
  file.path_ = path;
  // Beside the target, so that the rename stays inside one file system.
  for (int attempt = 0; file.descriptor_ < 0 && attempt < 100; ++attempt) {
    std::string name = path + "." + std::to_string(::getpid()) + "-" + std::to_string(attempt) + ".tmp";
    file.descriptor_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file.descriptor_ >= 0)
      file.temporary_ = std::move(name);
    else if (errno != EEXIST)
      break;
  }
  if (file.descriptor_ < 0)
    return file.failure(errno);
  return file;
}

AtomicFile::AtomicFile(AtomicFile &&other)
    : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_),
      mapped_(std::exchange(other.mapped_, nullptr)) {}

AtomicFile::~AtomicFile() {
  if (mapped_)
    ::munmap(mapped_, size_);
  if (!temporary_.empty())
    ::unlink(temporary_.c_str());
  if (descriptor_ >= 0)
    ::close(descriptor_);
}

Diagnostic AtomicFile::failure(int code) const {
  return fileError(ErrorId::FileNotWritten, path_, std::strerror(code));
}

Result<void, Diagnostic> AtomicFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return failure(errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
    size_ += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<std::string_view, Diagnostic> AtomicFile::map() {
  if (size_ == 0)
    return std::string_view();
  void *address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (address == MAP_FAILED)
    return failure(errno);
  mapped_ = address;
  return std::string_view(static_cast<const char *>(mapped_), size_);
}

Result<void, Diagnostic> AtomicFile::commit(bool overwrite) {
  if (::fsync(descriptor_) != 0)
    return failure(errno);
  if (!overwrite) {
    // link() refuses an existing target atomically, which rename() does not; a file system without hard links leaves
    // only a look before the rename. The destructor takes the temporary name away.
    if (::link(temporary_.c_str(), path_.c_str()) == 0)
      return {};
    bool hasNoLinks = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS;
    if (errno == EEXIST || (hasNoLinks && ::access(path_.c_str(), F_OK) == 0))
      return fileError(ErrorId::FileExists, path_, "");
    if (!hasNoLinks)
      return failure(errno);
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return failure(errno);
  temporary_.clear();
  return {};
}

Result<void, Diagnostic> writeFileAtomically(const std::string &path, std::string_view bytes, bool overwrite) {
  KIMIC_ASSIGN(AtomicFile file, AtomicFile::create(path));
  KIMIC_TRY(file.append(bytes));
  return file.commit(overwrite);
}

} // namespace kimic
