// A value or the reason why there is none. No exceptions: formats/ and runtime/ build without them.
#pragma once

#include "formats/base/Error.h"

#include <cassert>
#include <optional>
#include <utility>

namespace kimic {

/// Either a T or an E. E is Error for binary data and the runtime, Diagnostic for text inputs.
template <class T, class E = Error> class [[nodiscard]] Result {
public:
  Result(T value) : value_(std::move(value)) {}
  Result(const E &error) : error_(error) {}
  Result(E &&error) : error_(std::move(error)) {}

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }

  /// REQUIRES: ok().
  T &value() & {
    assert(ok() && "value() of a Result that holds an error");
    return *value_;
  }
  const T &value() const & {
    assert(ok() && "value() of a Result that holds an error");
    return *value_;
  }
  T &&value() && {
    assert(ok() && "value() of a Result that holds an error");
    return std::move(*value_);
  }
  T *operator->() { return &value(); }
  const T *operator->() const { return &value(); }
  T &operator*() & { return value(); }
  const T &operator*() const & { return value(); }

  /// REQUIRES: !ok().
  const E &error() const {
    assert(!ok() && "error() of a Result that holds a value");
    return error_;
  }

private:
  std::optional<T> value_;
  E error_{};
};

/// Success without a value, or an E.
template <class E> class [[nodiscard]] Result<void, E> {
public:
  Result() = default;
  Result(const E &error) : failed_(true), error_(error) {}
  Result(E &&error) : failed_(true), error_(std::move(error)) {}

  bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }

  /// REQUIRES: !ok().
  const E &error() const {
    assert(!ok() && "error() of a Result that holds a value");
    return error_;
  }

private:
  bool failed_ = false;
  E error_{};
};

#define KIMIC_CONCAT_(a, b) a##b
#define KIMIC_CONCAT(a, b) KIMIC_CONCAT_(a, b)

/// Returns the error of `expr` from the enclosing function, if there is one.
#define KIMIC_TRY(expr)                                                                                                \
  do {                                                                                                                 \
    if (auto kimicTried = (expr); !kimicTried.ok())                                                                    \
      return kimicTried.error();                                                                                       \
  } while (false)

/// Binds the value of `expr` to `decl`, or returns its error from the enclosing function.
#define KIMIC_ASSIGN(decl, expr)                                                                                       \
  auto KIMIC_CONCAT(kimicResult, __LINE__) = (expr);                                                                   \
  if (!KIMIC_CONCAT(kimicResult, __LINE__).ok())                                                                       \
    return KIMIC_CONCAT(kimicResult, __LINE__).error();                                                                \
  decl = std::move(KIMIC_CONCAT(kimicResult, __LINE__)).value()

} // namespace kimic
