#include "compiler/Pipeline/Spill.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace kimic {

static Diagnostic fileError(ErrorId id, const std::string &folder) {
  return Diagnostic{id, folder, 0, "", std::strerror(errno), ""};
}

/// A file without a name; -1 and errno if there is none.
static int temporaryFile(const std::string &folder) {
  std::string name = folder + "/kimic-XXXXXX";
  int file = ::mkostemp(name.data(), O_CLOEXEC);
  if (file >= 0)
    ::unlink(name.c_str());
  return file;
}

Spill::~Spill() {
  if (file_ >= 0)
    ::close(file_);
}

Result<void, Diagnostic> Spill::put(std::uint32_t number, std::vector<std::uint8_t> bytes) {
  std::lock_guard guard(lock_);
  if (inMemory_ + bytes.size() <= mostInMemory_) {
    inMemory_ += bytes.size();
    const std::uint64_t length = bytes.size();
    entries_[number] = {std::move(bytes), 0, length};
    return {};
  }
  if (file_ < 0) {
    const char *folder = std::getenv("TMPDIR");
    folder_ = folder && *folder ? folder : "/tmp";
    file_ = temporaryFile(folder_);
    if (file_ < 0)
      return fileError(ErrorId::FileNotWritten, folder_);
  }
  for (std::size_t done = 0; done < bytes.size();) {
    ssize_t written = ::pwrite(file_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(fileBytes_ + done));
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fileError(ErrorId::FileNotWritten, folder_);
    done += static_cast<std::size_t>(written);
  }
  entries_[number] = {{}, fileBytes_, bytes.size()};
  fileBytes_ += bytes.size();
  return {};
}

Result<std::vector<std::uint8_t>, Diagnostic> Spill::get(std::uint32_t number) const {
  std::lock_guard guard(lock_);
  const Entry &entry = entries_.at(number);
  if (entry.bytes.size() == entry.length)
    return entry.bytes;
  std::vector<std::uint8_t> bytes(entry.length);
  for (std::size_t done = 0; done < bytes.size();) {
    ssize_t got = ::pread(file_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(entry.offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got == 0)
      errno = EIO; // somebody has made the file shorter
    if (got <= 0)
      return fileError(ErrorId::FileUnreadable, folder_);
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

} // namespace kimic
