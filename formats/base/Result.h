// A value or the reason why there is none. No exceptions: formats/ and runtime/ build without them.
#pragma once

#include "formats/base/Error.h"

#include <cassert>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace kimic {

/// Either a T (void: success without a value) or an E. E is Error for binary data and the runtime, Diagnostic for text
/// inputs.
///
/// A union rather than two members: nothing is written for the half that is not there, which is most of the code of
/// functions that mostly succeed.
template <class T, class E = Error> class [[nodiscard]] Result {
  struct Nothing {};
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;

public:
  Result()
    requires std::is_void_v<T>
      : isOk_(true), value_() {}
  Result(const Value &value) : isOk_(true), value_(value) {}
  Result(Value &&value) : isOk_(true), value_(std::move(value)) {}
  [[gnu::noinline]] Result(const E &error) : isOk_(false), error_(error) {}
  [[gnu::noinline]] Result(E &&error)
    requires(!std::is_same_v<E, Error>)
      : isOk_(false), error_(std::move(error)) {}
  /// An Error that was just made arrives as numbers, without being in memory before.
  [[gnu::always_inline]] Result(Error &&error)
    requires(std::is_same_v<E, Error>)
      : Result(error.id, error.args[0], error.args[1], error.args[2]) {}
  Result(const Result &other) : isOk_(other.isOk_) {
    if (isOk_)
      new (&value_) Value(other.value_);
    else
      new (&error_) E(other.error_);
  }
  Result(Result &&other) noexcept : isOk_(other.isOk_) {
    if (isOk_)
      new (&value_) Value(std::move(other.value_));
    else
      new (&error_) E(std::move(other.error_));
  }
  Result &operator=(const Result &other) { return *this = Result(other); }
  Result &operator=(Result &&other) noexcept {
    if (this != &other) {
      this->~Result();
      new (this) Result(std::move(other));
    }
    return *this;
  }
  ~Result() {
    if (isOk_)
      value_.~Value();
    else
      error_.~E();
  }

  bool ok() const { return isOk_; }
  explicit operator bool() const { return ok(); }

  /// REQUIRES: ok().
  Value &value() & {
    assert(ok() && "value() of a Result that holds an error");
    return value_;
  }
  const Value &value() const & {
    assert(ok() && "value() of a Result that holds an error");
    return value_;
  }
  Value &&value() && {
    assert(ok() && "value() of a Result that holds an error");
    return std::move(value_);
  }
  Value *operator->() { return &value(); }
  const Value *operator->() const { return &value(); }
  Value &operator*() & { return value(); }
  const Value &operator*() const & { return value(); }

  /// REQUIRES: !ok().
  const E &error() const {
    assert(!ok() && "error() of a Result that holds a value");
    return error_;
  }

private:
  [[gnu::noinline]] Result(ErrorId id, std::uint64_t a, std::uint64_t b, std::uint64_t c)
      : isOk_(false), error_{id, {a, b, c}} {}

  bool isOk_;
  union {
    Value value_;
    E error_;
  };
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
