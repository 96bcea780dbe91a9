// A table that a reader makes in its final size and fills. std::vector would do the same with code for every type of
// element, which weighs on the size of the runtime.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace kimic {

/// Elements begin as zero bytes, which has to be a value of T.
template <class T> class Array {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

public:
  Array() = default;
  Array(const Array &other) {
    renew(other.size_);
    std::copy(other.begin(), other.end(), data_);
  }
  Array(Array &&other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Array &operator=(Array other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Array() { ::operator delete(data_); }

  /// Forgets what there is and becomes `size` elements of zeros.
  void renew(std::size_t size) {
    data_ = static_cast<T *>(zeros(data_, size * sizeof(T)));
    size_ = size;
  }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  T *data() { return data_; }
  T *begin() { return data_; }
  T *end() { return data_ + size_; }
  T &operator[](std::size_t i) {
    assert(i < size_ && "an index past the end of an Array");
    return data_[i];
  }
  const T *data() const { return data_; }
  const T *begin() const { return data_; }
  const T *end() const { return data_ + size_; }
  const T &operator[](std::size_t i) const { return const_cast<Array &>(*this)[i]; }
  const T &front() const { return (*this)[0]; }
  const T &back() const { return (*this)[size_ - 1]; }

private:
  [[gnu::noinline]] static void *zeros(void *old, std::size_t bytes) {
    ::operator delete(old);
    return std::memset(::operator new(bytes), 0, bytes);
  }

  T *data_ = nullptr;
  std::size_t size_ = 0;
};

} // namespace kimic
