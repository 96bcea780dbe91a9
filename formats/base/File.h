// Whole files in and out. Native only: the runtime's wasm never touches a file.
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/base/Sha256.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace kimic {

/// The bytes of a regular file (or pipe) of at most `maxBytes`.
/// FileNotFound, FileUnreadable (a directory, no permission, I/O error), FileTooLarge.
Result<std::string, Diagnostic> readFile(const std::string &path, std::uint64_t maxBytes);

/// SHA-256 of a file's bytes, which it never holds all at once. FileNotFound, FileUnreadable.
Result<Digest, Diagnostic> digestOfFile(const std::string &path);

/// A file that is written front to back under a temporary name beside its own, so that readers see the old file or the
/// whole new one. If commit() does not succeed, nothing is left behind. Errors: FileNotWritten.
class AtomicFile {
public:
  static Result<AtomicFile, Diagnostic> create(const std::string &path);
  AtomicFile(AtomicFile &&other);
  AtomicFile &operator=(AtomicFile &&) = delete;
  ~AtomicFile();

  Result<void, Diagnostic> append(std::string_view bytes);

  /// All that was appended, mapped into memory while this object lives. At most once, before commit().
  Result<std::string_view, Diagnostic> map();

  /// Gives the file its name. FileExists if there is one of this name and `overwrite` is false.
  Result<void, Diagnostic> commit(bool overwrite);

private:
  AtomicFile() = default;
  Diagnostic failure(int code) const;

  std::string path_, temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  void *mapped_ = nullptr;
};

/// AtomicFile with these bytes.
Result<void, Diagnostic> writeFileAtomically(const std::string &path, std::string_view bytes, bool overwrite);

/// A file that is read where one wants, opened once. Threads may read at the same time.
class InputFile {
public:
  /// FileNotFound, FileUnreadable (no permission, a directory, a pipe).
  static Result<InputFile, Diagnostic> open(const std::string &path);
  InputFile(InputFile &&other);
  InputFile &operator=(InputFile &&) = delete;
  ~InputFile();

  std::uint64_t size() const { return size_; } ///< when it was opened

  /// Fills `out` with the bytes from `offset` on. FileUnreadable, also if there are fewer.
  Result<void, Diagnostic> read(std::uint64_t offset, std::span<std::uint8_t> out) const;

private:
  InputFile(const std::string &path, int descriptor, std::uint64_t size);

  std::string path_;
  int descriptor_;
  std::uint64_t size_;
};

} // namespace kimic
