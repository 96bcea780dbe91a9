// A value or the reason why there is none. No exceptions: formats/ and runtime/ build without them.
#pragma once

#include "formats/base/Error.h"

#include <cassert>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace kimic {

/// How a Result keeps the reason of its failure.
template <class E> class Failure {
public:
  [[gnu::noinline]] Failure(const E &error) : error_(error) {}
  Failure(E &&error) : error_(std::move(error)) {}
  const E &error() const { return error_; }

private:
  E error_;
};

#ifdef __EMSCRIPTEN__
/// The runtime's module has one thread and looks at an error before it makes the next, so all errors lie in one place
/// and results say only that there is one: what passes them on is then a third of the code.
template <> class Failure<Error> {
public:
  Failure() = default; ///< the error that was made last
  [[gnu::always_inline]] Failure(Error &&error) {
    const auto &[a, b, c] = error.args;
    // Most arguments are numbers of 32 bits, and most errors have arguments of 0 at the end: neither widening nor zeros
    // need be written at every place that makes one.
    if (!isKnownZero(a >> 32) || !isKnownZero(b >> 32) || !isKnownZero(c >> 32))
      noteWide(error.id, a, b, c);
    else if (isKnownZero(b | c))
      note(error.id, static_cast<std::uint32_t>(a));
    else if (isKnownZero(c))
      note(error.id, static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b));
    else
      note(error.id, static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(c));
  }
  const Error &error() const { return noted; }

private:
  /// Whether the compiler sees that the number is 0.
  [[gnu::always_inline]] static bool isKnownZero(std::uint64_t number) {
    return __builtin_constant_p(number) && number == 0;
  }
  [[gnu::noinline]] static void noteWide(ErrorId id, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    noted = {id, {a, b, c}};
  }
  [[gnu::noinline]] static void note(ErrorId id, std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    noteWide(id, a, b, c);
  }
  [[gnu::noinline]] static void note(ErrorId id, std::uint32_t a, std::uint32_t b) { note(id, a, b, 0); }
  [[gnu::noinline]] static void note(ErrorId id, std::uint32_t a) { note(id, a, 0, 0); }
  static inline Error noted;
};
#endif

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
  Result(const E &error) : Result(Failure<E>(error)) {}
  [[gnu::always_inline]] Result(E &&error) : Result(Failure<E>(std::move(error))) {}
  Result(Failure<E> failure) : isOk_(false), failure_(std::move(failure)) {}
  Result(const Result &other) : isOk_(other.isOk_) {
    if (isOk_)
      new (&value_) Value(other.value_);
    else
      new (&failure_) Failure<E>(other.failure_);
  }
  Result(Result &&other) noexcept : isOk_(other.isOk_) {
    if (isOk_)
      new (&value_) Value(std::move(other.value_));
    else
      new (&failure_) Failure<E>(std::move(other.failure_));
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
      failure_.~Failure<E>();
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
  const E &error() const { return failure().error(); }
  const Failure<E> &failure() const {
    assert(!ok() && "error() of a Result that holds a value");
    return failure_;
  }

private:
  bool isOk_;
  union {
    Value value_;
    Failure<E> failure_;
  };
};

#ifdef __EMSCRIPTEN__
/// The same, small enough to be returned in a register.
template <> class [[nodiscard]] Result<void, Error> {
public:
  Result() = default;
  [[gnu::always_inline]] Result(Error &&error) : Result(Failure<Error>(std::move(error))) {}
  Result(const Error &error) : Result(Error(error)) {}
  Result(Failure<Error>) : hasFailed_(1) {}

  bool ok() const { return !hasFailed_; }
  explicit operator bool() const { return ok(); }
  const Error &error() const { return failure().error(); }
  Failure<Error> failure() const { return {}; }

private:
  std::uint32_t hasFailed_ = 0;
};
#endif

#define KIMIC_CONCAT_(a, b) a##b
#define KIMIC_CONCAT(a, b) KIMIC_CONCAT_(a, b)

/// Returns the error of `expr` from the enclosing function, if there is one.
#define KIMIC_TRY(expr)                                                                                                \
  do {                                                                                                                 \
    if (auto kimicTried = (expr); !kimicTried.ok())                                                                    \
      return kimicTried.failure();                                                                                     \
  } while (false)

/// Binds the value of `expr` to `decl`, or returns its error from the enclosing function.
#define KIMIC_ASSIGN(decl, expr)                                                                                       \
  auto KIMIC_CONCAT(kimicResult, __LINE__) = (expr);                                                                   \
  if (!KIMIC_CONCAT(kimicResult, __LINE__).ok())                                                                       \
    return KIMIC_CONCAT(kimicResult, __LINE__).failure();                                                              \
  decl = std::move(KIMIC_CONCAT(kimicResult, __LINE__)).value()

} // namespace kimic
